//! What is read from one folder and staged in another, in any pieces and however often it breaks off, is the same.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::super::arrival::Arrival;
use super::super::manifest::Limits;
use super::super::source::Source;
use super::*;

/// Two folders of a test's own: one to read, one to write.
struct Two {
    temp: TempDir,
}

impl Two {
    fn new(files: &BTreeMap<&str, Vec<u8>>) -> Self {
        let temp = tempfile::tempdir().unwrap();
        for folder in ["from", "to", "from/top", "from/top/a", "from/top/a/b", "from/top/empty"] {
            fs::create_dir(temp.path().join(folder)).unwrap();
        }
        for (name, bytes) in files {
            let path = temp.path().join("from/top").join(name);
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
        }
        Self { temp }
    }

    fn source_as_it_is(&self, path: &str) -> Source {
        let from = Dir::open(&self.temp.path().join("from")).unwrap();
        Source::open(&from, &RelativePath::parse(path).unwrap(), Limits::NONE).unwrap()
    }

    fn source(&self, path: &str) -> Source {
        let mut source = self.source_as_it_is(path);
        source.hash_through(u64::MAX, u64::MAX).unwrap();
        source
    }

    fn stage(&self, manifest: &Manifest) -> Result<Stage, FilesError> {
        let to = Dir::open(&self.temp.path().join("to")).unwrap();
        Stage::open(&to, &manifest.stage_name(&[]), manifest.clone())
    }

    fn to(&self, name: &str) -> std::path::PathBuf {
        self.temp.path().join("to").join(name)
    }
}

fn announced(source: &Source) -> Manifest {
    source.manifest().clone().with_digests(source.cursor().digests())
}

fn files(top: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let (mut found, mut left) = (BTreeMap::new(), vec![top.to_owned()]);
    while let Some(path) = left.pop() {
        let below = path.strip_prefix(top).unwrap().to_string_lossy().into_owned();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        if path.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            found.insert(below, (mode, vec![]));
        } else {
            found.insert(below, (mode, fs::read(&path).unwrap()));
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_is_staged_in_pieces_is_what_was_read(
        sizes in prop::collection::vec(0..40_usize, 4),
        pieces in prop::collection::vec((0..25_usize, prop::bool::weighted(0.2)), 0..16),
        budget in 1..50_u64,
        is_hashed: bool,
    ) {
        let names = ["a/b/one", "a/two", "empty.txt", "z"];
        let content = |at: usize| (0..sizes[at]).map(|byte| (byte * 7 + at) as u8).collect::<Vec<u8>>();
        let two = Two::new(&names.iter().enumerate().map(|(at, name)| (*name, content(at))).collect());
        let mut source = two.source("top");
        let manifest = if is_hashed { announced(&source) } else { source.manifest().clone() };
        let mut unread = two.source_as_it_is("top");
        let mut stage = two.stage(&manifest).unwrap();
        while !stage.scan(budget).unwrap() {}
        prop_assert_eq!(stage.offset(), 0);
        for (length, breaks_off) in pieces {
            let before = stage.offset();
            let ours = stage.cursor().so_far(&manifest);
            prop_assert_eq!(ours, source.so_far(before).unwrap(), "also where it was hashed before");
            prop_assert_eq!(ours, unread.so_far(before).unwrap(), "and where it was not");
            stage.write(&source.read(before, length).unwrap()).unwrap();
            let offset = stage.offset();
            prop_assert_eq!(offset, manifest.bytes().min(before + length as u64));
            prop_assert!(!two.to("new").exists(), "nothing is there before all is");
            if breaks_off {
                drop(stage);
                stage = two.stage(&manifest).unwrap();
                while !stage.scan(budget).unwrap() {}
                prop_assert_eq!(stage.offset(), offset);
                prop_assert_eq!(stage.resumed_bytes(), offset);
            }
        }
        stage.write(&source.read(stage.offset(), usize::MAX).unwrap()).unwrap();
        prop_assert!(stage.is_whole().unwrap());
        stage.commit(&RelativePath::parse("new/place").unwrap()).unwrap();
        prop_assert_eq!(files(&two.to("new/place")), files(&two.temp.path().join("from/top")));
        prop_assert!(!two.to(PARTIALS).exists());
    }
}

fn one_file() -> (Two, Manifest) {
    let two = Two::new(&BTreeMap::from([("f", b"0123456789".to_vec())]));
    let manifest = announced(&two.source("top/f"));
    (two, manifest)
}

#[test]
fn what_is_not_what_was_announced_is_found() {
    let (two, manifest) = one_file();
    let mut stage = two.stage(&manifest).unwrap();
    assert!(stage.scan(u64::MAX).unwrap());
    stage.write(b"01234").unwrap();
    assert!(!stage.is_whole().unwrap());
    assert_eq!(stage.write(b"x6789"), Err(FilesError::Corrupt { path: String::new() }));
    drop(stage);
    // Whoever comes later does not go on with it.
    let mut stage = two.stage(&manifest).unwrap();
    assert!(stage.scan(u64::MAX).unwrap());
    assert_eq!(stage.offset(), 0);
    stage.write(b"0123456789").unwrap();
    assert!(matches!(stage.write(b"more"), Err(FilesError::List { .. })));
    stage.commit(&RelativePath::parse("f").unwrap()).unwrap();
    assert_eq!(fs::read(two.to("f")).unwrap(), b"0123456789");
}

#[test]
fn what_is_not_whole_is_not_put_in_its_place() {
    let (two, manifest) = one_file();
    let mut stage = two.stage(&manifest).unwrap();
    stage.scan(u64::MAX).unwrap();
    stage.write(b"01234").unwrap();
    assert_eq!(stage.commit(&RelativePath::parse("f").unwrap()), Err(FilesError::Interrupted));
    assert!(!two.to("f").exists());
    let mut stage = two.stage(&manifest).unwrap();
    stage.scan(u64::MAX).unwrap();
    assert_eq!(stage.offset(), 5, "and is kept");
    stage.restart().unwrap();
    assert_eq!((stage.offset(), stage.resumed_bytes()), (0, 0));
}

#[test]
fn a_file_that_grew_too_long_begins_anew() {
    let (two, manifest) = one_file();
    let mut stage = two.stage(&manifest).unwrap();
    stage.scan(u64::MAX).unwrap();
    stage.write(b"01234").unwrap();
    let staged = two.to(PARTIALS).join(manifest.stage_name(&[])).join("0");
    drop(stage);
    fs::write(staged, b"0123456789 and more").unwrap();
    let mut stage = two.stage(&manifest).unwrap();
    stage.scan(u64::MAX).unwrap();
    assert_eq!(stage.offset(), 0);
}

#[test]
fn nobody_else_has_what_somebody_has() {
    let (two, manifest) = one_file();
    let stage = two.stage(&manifest).unwrap();
    assert_eq!(two.stage(&manifest).unwrap_err(), FilesError::InUse);
    drop(stage);
    assert!(two.stage(&manifest).is_ok());
}

#[test]
fn a_link_where_something_is_staged_is_not_followed() {
    let (two, manifest) = one_file();
    let outside = two.temp.path().join("outside");
    fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, two.to(PARTIALS)).unwrap();
    let refused = FilesError::SymbolicLink { path: PARTIALS.to_owned() };
    assert_eq!(two.stage(&manifest).unwrap_err(), refused);
    fs::remove_file(two.to(PARTIALS)).unwrap();
    let stage = two.stage(&manifest).unwrap();
    fs::write(outside.join("f"), b"outside").unwrap();
    std::os::unix::fs::symlink(outside.join("f"), two.to(PARTIALS).join(&stage.name).join("0")).unwrap();
    let mut stage = stage;
    assert!(matches!(stage.scan(u64::MAX), Err(FilesError::SymbolicLink { .. })));
    assert_eq!(fs::read(outside.join("f")).unwrap(), b"outside");
    stage.discard().unwrap();
    assert!(outside.join("f").exists(), "a link is removed, not what it points to");
}

#[test]
fn of_what_broke_off_the_oldest_goes() {
    let (two, manifest) = one_file();
    let held = two.stage(&manifest).unwrap();
    let partials = two.to(PARTIALS);
    let named = |number: usize| partials.join(format!("{number:03}"));
    for number in 0..PARTIALS_MAX + 10 {
        fs::create_dir(named(number)).unwrap();
        fs::write(named(number).join("0"), b"partial").unwrap();
        let time = fs::FileTimes::new()
            .set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(number as u64));
        fs::File::open(named(number)).unwrap().set_times(time).unwrap();
    }
    let other = Manifest::new(manifest.entries().to_vec(), Limits::NONE).unwrap();
    let to = Dir::open(&two.to("")).unwrap();
    let _other = Stage::open(&to, "another", other).unwrap();
    assert!(!named(0).exists() && !named(10).exists());
    assert!(named(11).exists() && named(PARTIALS_MAX + 9).exists());
    assert!(partials.join(&held.name).exists(), "what somebody has stays");
}

#[test]
fn a_source_that_changes_is_found() {
    let two = Two::new(&BTreeMap::from([("f", vec![1; 3_000_000]), ("g", vec![2; 10])]));
    let path = two.temp.path().join("from/top/f");
    let mut source = two.source("top");
    source.read(0, 100).unwrap();
    fs::write(&path, vec![3; 3_000_000]).unwrap();
    assert!(matches!(source.read(100, 100), Err(FilesError::Changed { .. })));
    let mut source = two.source("top");
    let g = two.temp.path().join("from/top/g");
    fs::remove_file(&g).unwrap();
    fs::write(&g, vec![2; 10]).unwrap();
    assert!(matches!(source.read(2_999_990, 100), Err(FilesError::Changed { .. })));
}

#[test]
fn what_is_no_file_is_not_read() {
    let two = Two::new(&BTreeMap::new());
    let top = two.temp.path().join("from/top");
    let _socket = std::os::unix::net::UnixListener::bind(top.join("socket")).unwrap();
    let from = Dir::open(&two.temp.path().join("from")).unwrap();
    for path in ["top", "top/socket"] {
        let said = Source::open(&from, &RelativePath::parse(path).unwrap(), Limits::NONE);
        assert!(matches!(said, Err(FilesError::NotAFile { .. })), "{path}: {said:?}");
    }
}

/// All that travels of a source.
fn travelling(source: &mut Source) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let piece = source.piece(all.len() as u64, 7).unwrap();
        if piece.is_empty() {
            return all;
        }
        all.extend_from_slice(&piece);
    }
}

#[test]
fn what_is_not_hashed_beforehand_is_compared_at_the_end() {
    let two = Two::new(&BTreeMap::from([("a/one", vec![1; 30]), ("empty.txt", vec![]), ("z", vec![2; 10])]));
    let mut source = two.source_as_it_is("top");
    let manifest = source.manifest().clone();
    let good = travelling(&mut source);
    assert_eq!(source.bytes_read(), 40, "it is read once");
    assert_eq!(good.len(), 40 + 32 * manifest.entries().len());
    let place = RelativePath::parse("new").unwrap();
    let arrival = || {
        let mut stage = two.stage(&manifest).unwrap();
        stage.scan(u64::MAX).unwrap();
        Arrival::new(stage)
    };

    let mut lacking = arrival();
    lacking.take(&good[..good.len() - 32]).unwrap();
    assert_eq!(lacking.commit(&place), Err(FilesError::Corrupt { path: "z".to_owned() }));
    let mut changed = arrival();
    assert_eq!(changed.offset(), 0, "what was corrupt is gone");
    let mut bad = good.clone();
    bad[0] ^= 1;
    changed.take(&bad).unwrap();
    assert_eq!(changed.commit(&place), Err(FilesError::Corrupt { path: "a/one".to_owned() }));
    let mut longer = arrival();
    longer.take(&good).unwrap();
    assert!(matches!(longer.take(b"more"), Err(FilesError::List { .. })));
    longer.discard().unwrap();
    assert!(!two.to("new").exists());

    // In any pieces, and over two calls.
    let mut first = arrival();
    first.take(&good[..35]).unwrap();
    drop(first);
    let mut second = arrival();
    assert_eq!(
        (second.offset(), second.place().so_far),
        (35, two.source_as_it_is("top").so_far(35).unwrap())
    );
    for byte in &good[35..] {
        second.take(std::slice::from_ref(byte)).unwrap();
    }
    let receipt = second.commit(&place).unwrap();
    assert_eq!((receipt.files, receipt.bytes, receipt.resumed_bytes), (3, 40, 35));
    assert_eq!(receipt.blake3, announced(&source).digest());
    assert_eq!(files(&two.to("new")), files(&two.temp.path().join("from/top")));
}
