//! What containers write: whole, in order, each stream apart, and within bounds.

use phalanx_drivers::docker::{Said, Stream};
use tests::soon;

use crate::stage::{Stage, shell, text};

#[tokio::test(flavor = "multi_thread")]
async fn both_streams_come_apart_with_offsets_and_exact_to_the_byte() {
    let stage = Stage::start().await;
    let container = stage.shell("echo out; echo err >&2; echo -n more; head -c 200000 /dev/zero >&2").await;
    let finished = soon("it ends", container.finished()).await.unwrap();
    assert_eq!((finished.stdout_bytes, finished.stderr_bytes), (8, 200_004));
    let length = |said: &[Said], of| text(said, of).len();
    let whole = |said: &[Said]| length(said, Stream::Stdout) == 8 && length(said, Stream::Stderr) == 200_004;
    let said = stage.listener.wait(container.task().id(), "all of the output", whole).await;
    assert_eq!(text(&said, Stream::Stdout), "out\nmore");
    assert_eq!(text(&said, Stream::Stderr), format!("err\n{}", "\0".repeat(200_000)));
    let mut next = 0;
    for said in &said {
        let Said::Output(chunk) = said else { continue };
        assert_eq!(chunk.offset, next);
        next += chunk.bytes.len() as u64;
    }
    assert_eq!(next, 200_012);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_named_as_skipped_and_the_last_lines_are_there() {
    let stage = Stage::start_with(|policy| policy.event_bytes_per_second_max(100_000)).await;
    let script =
        "yes aaaaaaaaaaaaaaa | head -n 500000; i=0; while test $i -lt 60; do echo $i; i=$((i+1)); done";
    let container = stage.shell(script).await;
    let finished = soon("it ends", container.finished()).await.unwrap();
    let numbers: String = (0..60).map(|number| format!("{number}\n")).collect();
    let bytes = 500_000 * 16 + numbers.len() as u64;
    assert_eq!(finished.stdout_bytes, bytes);
    let expected: Vec<String> = (10..60).map(|number| number.to_string()).collect();
    assert_eq!(finished.last_lines, expected);
    let accounted = |said: &[Said]| {
        let mut next = 0;
        for said in said {
            match said {
                Said::Output(chunk) if chunk.offset == next => next += chunk.bytes.len() as u64,
                Said::Skipped { from, to } if *from == next => next = *to,
                Said::Output(_) | Said::Skipped { .. } => return false,
                _ => {}
            }
        }
        next == bytes
    };
    let said = stage.listener.wait(container.task().id(), "each byte is told or skipped", accounted).await;
    assert!(said.iter().any(|said| matches!(said, Said::Skipped { .. })));

    let silent = stage.run(shell("echo unheard").without_output_events()).await;
    assert_eq!(soon("it ends", silent.finished()).await.unwrap().last_lines, ["unheard"]);
    let of_silent = stage.listener.said(silent.task().id());
    assert!(
        !of_silent.iter().any(|said| matches!(said, Said::Output(_) | Said::Skipped { .. })),
        "{of_silent:?}"
    );
    stage.end().await;
}
