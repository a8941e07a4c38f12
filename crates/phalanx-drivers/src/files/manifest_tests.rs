//! What a list may be, and where its bytes are.

use proptest::prelude::*;

use super::*;

fn folder(path: &str) -> Entry {
    Entry { path: path.to_owned(), mode: 0o755, kind: EntryKind::Folder }
}

fn file(path: &str, bytes: u64) -> Entry {
    Entry { path: path.to_owned(), mode: 0o644, kind: EntryKind::File { bytes, blake3: None } }
}

#[test]
fn a_list_holds_together_or_is_refused() {
    let good = vec![folder(""), file("a", 3), folder("b"), file("b/a", 0), folder("b/c")];
    assert!(Manifest::new(good, Limits::NONE).is_ok());
    assert!(Manifest::new(vec![file("", 7)], Limits::NONE).is_ok());
    for bad in [
        vec![],
        vec![file("a", 1)],
        vec![file("", 1), file("", 1)],
        vec![file("", 1), file("a", 1)],
        vec![folder(""), file("b/a", 1)],
        vec![folder(""), file("a", 1), file("a/b", 1)],
        vec![folder(""), folder("a"), file("a", 1)],
        vec![folder(""), file("a", u64::MAX), file("b", 1)],
    ] {
        assert!(matches!(Manifest::new(bad.clone(), Limits::NONE), Err(FilesError::List { .. })), "{bad:?}");
    }
    for out in ["../a", "/a", "a/../../b", "a\0", ".phalanx-partials"] {
        let said = Manifest::new(vec![folder(""), file(out, 1)], Limits::NONE);
        assert!(matches!(said, Err(FilesError::Path { .. })), "{out:?}: {said:?}");
    }
}

#[test]
fn a_list_is_bounded() {
    let limits = Limits { file_bytes_max: 10, bytes_max: 15, entries_max: 3 };
    let list = |sizes: &[u64]| {
        let files = sizes.iter().enumerate().map(|(at, bytes)| file(&at.to_string(), *bytes));
        Manifest::new([folder("")].into_iter().chain(files).collect(), limits)
    };
    assert!(list(&[10, 5]).is_ok());
    assert!(matches!(list(&[11]), Err(FilesError::TooLarge { bytes: 11, bytes_max: 10, .. })));
    assert!(matches!(list(&[10, 6]), Err(FilesError::TooLarge { bytes: 16, bytes_max: 15, .. })));
    assert_eq!(list(&[1, 1, 1]), Err(FilesError::TooMany { entries_max: 3 }));
}

proptest! {
    #[test]
    fn every_byte_is_found_where_it_is(sizes in prop::collection::vec(0..5_u64, 0..12)) {
        let files = sizes.iter().enumerate().map(|(at, bytes)| file(&at.to_string(), *bytes));
        let manifest = Manifest::new([folder("")].into_iter().chain(files).collect(), Limits::NONE).unwrap();
        let mut expected = Vec::new();
        for (index, entry) in manifest.entries().iter().enumerate() {
            prop_assert_eq!(manifest.start(index), expected.len() as u64);
            expected.extend((0..entry.bytes()).map(|within| (index, within)));
        }
        prop_assert_eq!(manifest.bytes(), expected.len() as u64);
        let found: Vec<_> = (0..manifest.bytes()).map(|offset| manifest.locate(offset).unwrap()).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(manifest.locate(manifest.bytes()), None);
    }
}
