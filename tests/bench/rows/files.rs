//! Ten thousand small files: in one transfer, and each by itself.

use std::fs;
use std::path::Path;

use super::rounds::{Rounds, each, in_turn};
use crate::Failure;
use crate::arguments::Arguments;
use crate::order::{Figures, Order};
use crate::peers::Cluster;
use crate::report::{Bar, Row, Unit};

/// How many files go in one transfer.
const FILES: usize = 10_000;

/// How many of them go each by itself: enough to know how long one takes.
const FILES_APART: usize = 1_000;

const FILE_BYTES: usize = 10 << 10;

const NAME: &str = "files_10k";
const PEER: &str = "one put each";

/// One `put` of a folder beside a `put` of each file.
pub(super) fn files_10k(arguments: &Arguments) -> Vec<Row> {
    let (unit, bar) = (Unit::FilesPerSecond, Bar::RatioMin(3.0));
    vec![match measure(arguments.rounds) {
        Ok(rounds) => Row::compared(NAME, PEER, unit, bar, &each(&rounds, Figures::rate))
            .noting(format!("{FILES} files together, {FILES_APART} one by one")),
        Err(error) => Row::missing(NAME, PEER, unit, bar, &error.to_string()),
    }]
}

fn measure(rounds: usize) -> Result<Rounds, Failure> {
    let folder = tempfile::tempdir()?;
    let below = |name: &str| folder.path().join(name);
    let (together, apart, root) = (below("together"), below("apart"), below("root"));
    fill(&together, FILES)?;
    fill(&apart, FILES_APART)?;
    fs::create_dir(&root)?;
    let mut pair = Cluster::start(1, Some(&root))?.into_pair();
    let pair = std::cell::RefCell::new(&mut pair);
    let put = |order: &Order, to: &str| -> Result<Figures, Failure> {
        let figures = pair.borrow_mut().measure(order)?;
        // What is there already would be replaced, which is other work.
        fs::remove_dir_all(root.join(to))?;
        Ok(figures)
    };
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let one = Order::PutFolder { from: text(&together), to: "together".into() };
    let many = Order::PutEach { from: text(&apart), to: "apart".into() };
    in_turn(rounds, || put(&one, "together"), || put(&many, "apart"))
}

fn fill(folder: &Path, count: usize) -> Result<(), Failure> {
    fs::create_dir(folder)?;
    for number in 0..count {
        // No two alike.
        let content = number.to_le_bytes().repeat(FILE_BYTES / size_of::<usize>());
        fs::write(folder.join(number.to_string()), content)?;
    }
    Ok(())
}
