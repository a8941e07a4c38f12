//! The program `phalanx`, as it was built along with the tests: cargo names a program only to the tests of its own package.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Names the program to test instead of the one that cargo has built, such as one that is installed.
const CHOSEN: &str = "PHALANX_TEST_PROGRAM";

/// Where the program is: two folders above the test, as cargo lays them out; or what `PHALANX_TEST_PROGRAM` says.
///
/// # Panics
/// When it is not there, or older than what it is made of: a test of yesterday's program proves nothing.
#[must_use]
pub fn program() -> PathBuf {
    if let Some(chosen) = std::env::var_os(CHOSEN) {
        return chosen.into();
    }
    let test = std::env::current_exe().expect("a process knows its own program");
    let folder = test.parent().and_then(Path::parent).expect("tests are in target/PROFILE/deps");
    let program = folder.join("phalanx");
    let advice = "build it first: cargo build -p phalanx-cli (cargo xtask test does)";
    let Some(built) = modified(&program) else { panic!("{} is missing; {advice}", program.display()) };
    let changed = sources(&program.with_extension("d"))
        .into_iter()
        .find(|source| modified(source).is_none_or(|changed| changed > built));
    if let Some(source) = changed {
        panic!("{} is older than {}; {advice}", program.display(), source.display());
    }
    program
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// What cargo says that a program is made of: `program: source source…`, spaces in names escaped.
fn sources(list: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(list).unwrap_or_default();
    let Some((_, sources)) = text.trim().split_once(": ") else { return Vec::new() };
    let sources = sources.replace("\\ ", "\0");
    sources.split(' ').map(|source| PathBuf::from(source.replace('\0', " "))).collect()
}
