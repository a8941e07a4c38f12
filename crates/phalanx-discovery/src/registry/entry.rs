//! What a node writes about itself, and the name of the file.

use std::str::FromStr;

use phalanx_base::{AddressList, Boot, Generation, NodeId};
use serde::{Deserialize, Serialize};

use crate::Announcement;

/// The version of the text. A reader passes over what it does not know.
const VERSION: u32 = 1;
/// Ends the name of an entry.
const SUFFIX: &str = ".phalanx";
/// Ends the name of an entry that is being written; such a name begins with a dot.
const UNFINISHED_SUFFIX: &str = ".new";

/// One published node. As JSON, so that people and scripts can read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    version: u32,
    /// Whose node it is; none where the node was told of no cluster.
    pub(super) cluster: Option<String>,
    pub(super) boot: Boot,
    pub(super) addresses: AddressList,
    /// For people: the lock says whether it runs, never this number.
    pub(super) process: u32,
}

impl Entry {
    /// The greatest length in bytes: sixteen addresses of 320 bytes, and the rest.
    pub(super) const BYTES_MAX: u64 = 8 * 1_024;

    pub(super) fn new(cluster: Option<String>, who: &Announcement) -> Self {
        let process = std::process::id();
        Self { version: VERSION, cluster, boot: who.boot.clone(), addresses: who.addresses.clone(), process }
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = serde_json::to_string(self).expect("an entry has texts and numbers only");
        text.push('\n');
        text
    }

    /// Reads an entry; `None` where it is none, or of another version.
    pub(super) fn from_text(text: &[u8]) -> Option<Self> {
        let entry: Self = serde_json::from_slice(text).ok()?;
        (entry.version == VERSION).then_some(entry)
    }
}

/// The name of an entry's file. No two are ever the same, so that whoever removes the file of a process that has died
/// cannot meet that of the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntryName {
    boot: Boot,
    nonce: u64,
    finished: bool,
}

impl EntryName {
    pub(super) fn new(boot: Boot, nonce: u64) -> Self {
        Self { boot, nonce, finished: true }
    }

    /// The name while the entry is being written.
    pub(super) fn unfinished(&self) -> Self {
        Self { finished: false, ..self.clone() }
    }

    /// Whether it is whole, and not one that was being written.
    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether a file of this name may hold this entry.
    pub(super) fn is_of(&self, entry: &Entry) -> bool {
        self.boot == entry.boot
    }
}

impl std::fmt::Display for EntryName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (dot, end) = if self.finished { ("", "") } else { (".", UNFINISHED_SUFFIX) };
        write!(
            f,
            "{dot}{}@{:016x}.{:016x}{SUFFIX}{end}",
            self.boot.node,
            self.boot.generation.as_u64(),
            self.nonce
        )
    }
}

/// A name that is none of an entry: the file is somebody else's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ForeignName;

impl FromStr for EntryName {
    type Err = ForeignName;

    /// Takes exactly what [`EntryName`] prints: what is not ours is never touched.
    fn from_str(text: &str) -> Result<Self, ForeignName> {
        // A node's own name may begin with a dot, so the end decides.
        let (inner, finished) = match text.strip_suffix(UNFINISHED_SUFFIX) {
            Some(inner) => (inner.strip_prefix('.').ok_or(ForeignName)?, false),
            None => (text, true),
        };
        let (node, rest) =
            inner.strip_suffix(SUFFIX).and_then(|inner| inner.split_once('@')).ok_or(ForeignName)?;
        let (generation, nonce) = rest.split_once('.').ok_or(ForeignName)?;
        let number = |digits| u64::from_str_radix(digits, 16).map_err(|_| ForeignName);
        let node = NodeId::new(node).map_err(|_| ForeignName)?;
        let boot = Boot { node, generation: Generation::from_u64(number(generation)?) };
        let name = Self { boot, nonce: number(nonce)?, finished };
        if name.to_string() == text { Ok(name) } else { Err(ForeignName) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn announcement(node: &str) -> Announcement {
        let boot = Boot { node: node.parse().unwrap(), generation: Generation::from_u64(5) };
        Announcement { boot, addresses: "10.0.0.1:7000,[::1]:9".parse().unwrap() }
    }

    #[test]
    fn an_entry_is_json_with_these_fields() {
        let entry = Entry { process: 42, ..Entry::new(Some("c1".into()), &announcement("n-1")) };
        let text = concat!(
            r#"{"version":1,"cluster":"c1","boot":{"node":"n-1","generation":5},"#,
            r#""addresses":"phalanx://10.0.0.1:7000,phalanx://[::1]:9","process":42}"#,
            "\n"
        );
        assert_eq!(entry.to_text(), text);
        assert_eq!(Entry::from_text(text.as_bytes()), Some(entry));
        assert_eq!(Entry::from_text(text.replace(":1,", ":2,").as_bytes()), None);
        assert_eq!(Entry::from_text(&text.as_bytes()[..text.len() / 2]), None);
    }

    #[test]
    fn the_longest_entry_fits() {
        let label = "a".repeat(63);
        let address = format!("phalanx://{label}.{label}.{label}.{}.:65535;transport=quic", "a".repeat(61));
        let addresses = vec![address; AddressList::LENGTH_MAX].join(",").parse().unwrap();
        let who = Announcement { addresses, ..announcement(&"n".repeat(NodeId::LENGTH_MAX)) };
        let entry = Entry { process: u32::MAX, ..Entry::new(Some("c".repeat(128)), &who) };
        assert!(entry.to_text().len() as u64 <= Entry::BYTES_MAX);
    }

    proptest! {
        #[test]
        fn names_survive_their_text(node in "[a-zA-Z0-9._-]{1,64}", generation: u64, nonce: u64) {
            let boot = Boot { node: node.parse().unwrap(), generation: Generation::from_u64(generation) };
            let name = EntryName::new(boot, nonce);
            prop_assert!(name.unfinished().to_string().len() <= 255);
            for name in [name.unfinished(), name] {
                prop_assert_eq!(name.to_string().parse(), Ok(name));
            }
        }

        #[test]
        fn foreign_names_are_refused(text in "\\PC{0,40}|\\.?[a-z]{0,3}@?[0-9a-f]{15,17}\\.[0-9a-f+]{15,17}\\.phalanx(\\.new)?") {
            if let Ok(name) = text.parse::<EntryName>() {
                prop_assert_eq!(name.to_string(), text);
            }
        }

        #[test]
        fn any_bytes_are_an_entry_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::from_text(&bytes);
        }
    }
}
