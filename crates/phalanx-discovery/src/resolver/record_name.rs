//! The name that records stand at, which need not be a host's name: `_phx._udp.example.org`.

use std::fmt;
use std::str::FromStr;

use phalanx_base::DnsName;

/// The name of a DNS record: labels of letters, digits, hyphens and underscores with dots between them, in lower case.
///
/// Each [`DnsName`] is one. A final dot, which keeps a resolver from trying its search list, is allowed and kept.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordName(String);

/// Why a text is no [`RecordName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name of a record: parts of 1 to {label_max} letters, digits, hyphens and underscores with dots between \
     them, up to {length_max} bytes",
    label_max = DnsName::LABEL_LENGTH_MAX,
    length_max = DnsName::LENGTH_MAX
)]
pub struct RecordNameError(String);

impl RecordName {
    /// Checks a name and takes it in lower case.
    ///
    /// # Errors
    /// [`RecordNameError`] quotes the beginning of a text that is none.
    pub fn new(name: &str) -> Result<Self, RecordNameError> {
        let relative = name.strip_suffix('.').unwrap_or(name);
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let label_is_good = |label: &str| {
            (1..=DnsName::LABEL_LENGTH_MAX).contains(&label.len())
                && !label.starts_with('-')
                && label.bytes().all(allowed)
        };
        if relative.len() <= DnsName::LENGTH_MAX && relative.split('.').all(label_is_good) {
            Ok(Self(name.to_ascii_lowercase()))
        } else {
            Err(RecordNameError(name.chars().take(80).collect()))
        }
    }

    /// The name below `domain` that has this prefix: `_phx._udp` and `example.org` give `_phx._udp.example.org`.
    ///
    /// # Errors
    /// [`RecordNameError`], since the whole may be too long.
    pub fn below(prefix: &str, domain: &DnsName) -> Result<Self, RecordNameError> {
        Self::new(&format!("{prefix}.{domain}"))
    }

    /// The name, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<DnsName> for RecordName {
    fn from(name: DnsName) -> Self {
        Self(name.into())
    }
}

impl FromStr for RecordName {
    type Err = RecordNameError;
    fn from_str(name: &str) -> Result<Self, RecordNameError> {
        Self::new(name)
    }
}

impl AsRef<str> for RecordName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_records_are_checked() {
        let domain = DnsName::new("Example.org.").unwrap();
        assert_eq!(RecordName::below("_PHX._udp", &domain).unwrap().as_str(), "_phx._udp.example.org.");
        assert_eq!(RecordName::new("_odd_-.7.x").unwrap().to_string(), "_odd_-.7.x");
        let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
        let longest = DnsName::new(&long).unwrap();
        assert!(RecordName::new(&long).is_ok() && RecordName::below("_phx._udp", &longest).is_err());
        for wrong in ["", ".", "a..b", "-a", "a b", "bücher", "a\\.b", "*", &"a".repeat(64)] {
            assert!(RecordName::new(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_host_name_is_one(name in "[a-z]([a-z0-9-]{0,6}[a-z0-9])?(\\.[a-z]([a-z0-9-]{0,6}[a-z0-9])?){0,3}\\.?") {
            let host = DnsName::new(&name).unwrap();
            prop_assert_eq!(RecordName::from(host), RecordName::new(&name).unwrap());
        }

        #[test]
        fn any_text_is_one_or_refused(text in "\\PC{0,300}") {
            if let Ok(name) = RecordName::new(&text) {
                prop_assert_eq!(RecordName::new(name.as_str()), Ok(name));
            }
        }
    }
}
