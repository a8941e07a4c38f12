//! What a node says of itself: the value of its key.

use phalanx_base::{Address, AddressList, Generation, NodeId};
use serde::{Deserialize, Serialize};

use super::key;
use crate::Announcement;

/// The longest value that is read: sixteen addresses of the greatest length, and room for what later versions add.
const VALUE_BYTES_MAX: usize = 8 << 10;

/// A node, as JSON. What this version does not know is ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) cluster: String,
    pub(super) node: NodeId,
    pub(super) generation: Generation,
    pub(super) addresses: Vec<Address>,
}

impl Record {
    pub(super) fn new(cluster: &str, who: &Announcement) -> Self {
        Self {
            cluster: cluster.to_owned(),
            node: who.boot.node.clone(),
            generation: who.boot.generation,
            addresses: who.addresses.iter().cloned().collect(),
        }
    }

    pub(super) fn key(&self, prefix: &str) -> String {
        key::of_node(prefix, &self.cluster, &self.node)
    }

    pub(super) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are always JSON")
    }

    /// Reads a value, or says why it is a stranger's.
    pub(super) fn read(
        prefix: &str,
        cluster: Option<&str>,
        key: &[u8],
        value: &[u8],
    ) -> Result<Self, &'static str> {
        if value.len() > VALUE_BYTES_MAX {
            return Err("the value is too long");
        }
        let record: Self = serde_json::from_slice(value).map_err(|_| "the value is no record of a node")?;
        if cluster.is_some_and(|cluster| cluster != record.cluster) {
            return Err("it is of another cluster");
        }
        if record.key(prefix).as_bytes() != key {
            return Err("the key is another one than the value says");
        }
        if record.addresses.len() > AddressList::LENGTH_MAX {
            return Err("there are too many addresses");
        }
        Ok(record)
    }
}

/// The addresses of all: first the best of each node, then the next best, so that who has many hides no other. Port 0 cannot
/// be dialled, and is left out.
pub(super) fn addresses(records: &[Record]) -> Vec<Address> {
    let best = |at: usize| records.iter().filter_map(move |record| record.addresses.get(at));
    let all = (0..AddressList::LENGTH_MAX).flat_map(best);
    all.filter(|address| address.port() != 0).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(node: &str, addresses: &[&str]) -> Record {
        Record {
            cluster: "abc".to_owned(),
            node: node.parse().unwrap(),
            generation: Generation::from_u64(u64::MAX),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn a_record_is_readable_and_comes_back() {
        let record = record("media-1", &["10.0.0.1:7000", "[::1];transport=quic"]);
        let json = String::from_utf8(record.json()).unwrap();
        assert_eq!(
            json,
            r#"{"cluster":"abc","node":"media-1","generation":18446744073709551615,"addresses":["phalanx://10.0.0.1:7000","phalanx://[::1];transport=quic"]}"#
        );
        let read = |cluster, key: &str, value: &str| {
            Record::read("/p", cluster, key.as_bytes(), value.as_bytes()).map_err(str::to_owned)
        };
        assert_eq!(read(Some("abc"), "/p/abc/media-1", &json), Ok(record.clone()));
        assert_eq!(read(None, "/p/abc/media-1", &json), Ok(record.clone()));
        let later = json.replace("\"node\"", "\"zone\":{\"a\":[1]},\"node\"");
        assert_eq!(read(None, "/p/abc/media-1", &later), Ok(record));
        for (cluster, key, value, part) in [
            (Some("abd"), "/p/abc/media-1", json.clone(), "another cluster"),
            (None, "/p/abc/media-2", json.clone(), "key"),
            (None, "/p/abc/media-1/more", json.clone(), "key"),
            (None, "/p/abc/media-1", "{}".to_owned(), "no record"),
            (None, "/p/abc/media-1", json.replace("10.0.0.1", "10.0.0.1.2"), "no record"),
            (None, "/p/abc/media-1", format!("{json}{}", " ".repeat(VALUE_BYTES_MAX)), "too long"),
        ] {
            let error = read(cluster, key, &value).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn the_best_address_of_each_node_comes_first() {
        let records =
            [record("a", &["a:1", "a:2", "a:0"]), record("b", &["b:1"]), record("c", &["c:1", "c:2"])];
        let texts: Vec<String> = addresses(&records).iter().map(ToString::to_string).collect();
        let expected = ["a:1", "b:1", "c:1", "a:2", "c:2"].map(|text| format!("phalanx://{text}"));
        assert_eq!(texts, expected);
    }

    proptest! {
        #[test]
        fn no_value_makes_it_panic(value: Vec<u8>, key: Vec<u8>, text in "[\\[\\]{}:,\"a-z0-9]{0,60}") {
            let _ = Record::read("/p", None, &key, &value);
            let _ = Record::read("/p", Some("abc"), &key, text.as_bytes());
        }
    }
}
