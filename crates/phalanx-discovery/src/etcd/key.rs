//! Keys: which one is a node's, and which range holds those of a cluster and nothing else.

use phalanx_base::NodeId;

use super::error::EtcdError;

/// The longest prefix: that of the text of a strategy leaves less.
pub(super) const PREFIX_BYTES_MAX: usize = 256;

/// A range of keys: from `key`, which is its own prefix, up to `end`, which is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) key: String,
    pub(super) end: Vec<u8>,
}

impl Range {
    /// The keys of a cluster, or of all of them. The slash at its end keeps `/phalanx2` out of `/phalanx`.
    pub(super) fn of(prefix: &str, cluster: Option<&str>) -> Self {
        let key = match cluster {
            Some(cluster) => format!("{prefix}/{cluster}/"),
            None => format!("{prefix}/"),
        };
        let end = prefix_end(key.as_bytes());
        Self { key, end }
    }
}

/// The key of a node.
pub(super) fn of_node(prefix: &str, cluster: &str, node: &NodeId) -> String {
    format!("{prefix}/{cluster}/{node}")
}

/// The first key that is greater than every key with this prefix. Where there is none, for the prefix is empty or of 0xff
/// only, one zero byte: to etcd that is the end of all keys.
pub(super) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let kept = prefix.iter().rposition(|byte| *byte < u8::MAX);
    let Some(last) = kept else { return vec![0] };
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    end
}

/// Checks a prefix: it becomes part of what is shown to people, and two texts must not be one place.
pub(super) fn check_prefix(prefix: &str) -> Result<(), EtcdError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(allowed);
    let is_path = prefix.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_name));
    if is_path && prefix.len() <= PREFIX_BYTES_MAX {
        return Ok(());
    }
    Err(EtcdError::Prefix { text: prefix.chars().take(80).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_end_with_their_slash() {
        let range = Range::of("/phalanx", Some("abc"));
        assert_eq!(
            (range.key.as_str(), range.end.as_slice()),
            ("/phalanx/abc/", b"/phalanx/abc0".as_slice())
        );
        assert_eq!(Range::of("/phalanx", None).end, b"/phalanx0");
    }

    #[test]
    fn a_prefix_is_a_path() {
        for good in ["/phalanx", "/a/b-c/D_e.1"] {
            assert_eq!(check_prefix(good), Ok(()));
        }
        for wrong in ["", "/", "phalanx", "/a/", "//a", "/a//b", "/a b", "/ä", "/a\0"] {
            assert!(check_prefix(wrong).is_err(), "{wrong}");
        }
        assert!(check_prefix(&format!("/{}", "a".repeat(PREFIX_BYTES_MAX))).is_err());
    }

    /// Bytes with many 0xff among them.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(prop_oneof![Just(0xff), Just(0xfe), Just(0), any::<u8>()], 0..6)
    }

    proptest! {
        #[test]
        fn a_range_holds_exactly_what_has_its_prefix(prefix in bytes(), rest in bytes(), other in bytes()) {
            let end = prefix_end(&prefix);
            let is_inside = |key: &[u8]| {
                let before_end = end == [0] || key < end.as_slice();
                key >= prefix.as_slice() && before_end
            };
            let with = [prefix.clone(), rest].concat();
            prop_assert!(is_inside(&with));
            prop_assert_eq!(is_inside(&other), other.starts_with(&prefix));
        }
    }
}
