//! Output without end stays within its bounds, and what is missing is said.

use std::time::Duration;

use phalanx_drivers::process::{Exit, LogState, Said};
use tests::soon;

use super::stage::{CAPPED, shell, stage};

/// What the program below writes.
const WRITTEN: u64 = 20_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_output_is_bounded_and_its_gaps_are_told() {
    let program = stage().run(CAPPED, shell(&format!("yes | head -c {WRITTEN}"))).await;
    let finished = soon("the flood ends", program.finished()).await.unwrap();
    assert_eq!((finished.exit, finished.stdout_bytes, finished.stderr_bytes), (Exit::Code(0), WRITTEN, 0));
    assert_eq!(finished.last_lines, vec!["y"; 50]);

    // As events: what is told and what is skipped make up the whole, in order, and little is told.
    let is_whole = |said: &[Said]| match said.last() {
        Some(Said::Output(chunk)) => chunk.offset + chunk.bytes.len() as u64 == WRITTEN,
        Some(Said::Skipped { to, .. }) => *to == WRITTEN,
        _ => false,
    };
    let said = stage().listener.wait(&program, "the last offset", is_whole).await;
    let (mut offset, mut told) = (0, 0);
    for said in &said[1..] {
        offset = match said {
            Said::Output(chunk) => {
                assert_eq!(chunk.offset, offset);
                told += chunk.bytes.len() as u64;
                offset + chunk.bytes.len() as u64
            }
            Said::Skipped { from, to } => {
                assert_eq!(*from, offset);
                *to
            }
            other => panic!("{other:?}"),
        };
    }
    assert!(told < WRITTEN / 4, "{told} bytes were told");

    // In the log: a gap, and then the rest without another one.
    let page = program.follow(0, Duration::ZERO).await.unwrap();
    let gap = page.gap.expect("the oldest segments were dropped");
    assert_eq!(gap.from, 0);
    // Three quarters of the cap are there at least, less what the lengths of records take.
    assert!((WRITTEN - (2 << 20)..WRITTEN - (1_500 << 10)).contains(&gap.to), "{gap:?}");
    let mut next = gap.to;
    let mut page = page;
    loop {
        for chunk in &page.chunks {
            assert_eq!(chunk.offset, next);
            next += chunk.bytes.len() as u64;
            assert!(
                chunk.bytes.iter().zip(chunk.offset..).all(|(byte, at)| *byte == b"y\n"[(at % 2) as usize])
            );
        }
        assert_eq!(page.next, next);
        if page.state != LogState::GoesOn {
            break;
        }
        page = program.follow(next, Duration::ZERO).await.unwrap();
        assert_eq!(page.gap, None);
    }
    assert_eq!((next, page.state), (WRITTEN, LogState::Ended(Exit::Code(0))));

    let task = program.task().id();
    let name = format!("task-{}-{}-{}", task.0.caller.node, task.0.caller.generation, task.0.sequence);
    let folder = stage().folder.join("capped/logs").join(name);
    let sizes = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    assert!(sizes.sum::<u64>() <= (2 << 20) + 1_000);
}
