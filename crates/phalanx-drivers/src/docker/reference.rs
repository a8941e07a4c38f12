//! References of images, and patterns of them.
//!
//! A reference has many spellings: `busybox` is `docker.io/library/busybox:latest`. A policy is checked against the full one,
//! and the daemon is given the full one too: given a short one, it might take it for the beginning of an image's id.

use std::fmt;

use super::glob::matches;

/// The registry of references that name none.
const DOMAIN: &str = "docker.io";

/// The longest name of an image: the registries' own cap.
const NAME_BYTES_MAX: usize = 255;

/// The longest tag: the registries' own cap.
const TAG_BYTES_MAX: usize = 128;

/// A reference in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// With the registry.
    pub(super) name: String,
    /// Either a tag or a digest, and the digest where both were given: the daemon looks at nothing else then.
    pub(super) version: Version,
}

/// Which one of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Version {
    Tag(String),
    Digest(String),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Version::Tag(tag) => write!(f, "{}:{tag}", self.name),
            Version::Digest(digest) => write!(f, "{}@{digest}", self.name),
        }
    }
}

impl Reference {
    /// Reads any spelling. `None` where it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (text, digest) = split_digest(text);
        let (name, tag) = split_tag(text);
        let name = full_name(name);
        let is_name = is_name(&name, false);
        let is_tag = tag.is_none_or(|tag| is_tag(tag, false));
        let is_digest = digest.is_none_or(is_digest);
        let version = match digest {
            Some(digest) => Version::Digest(digest.to_owned()),
            None => Version::Tag(tag.unwrap_or("latest").to_owned()),
        };
        (is_name && is_tag && is_digest).then_some(Self { name, version })
    }
}

/// Which images are meant. `*` stands for any characters, of the name behind the registry and of the tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    All,
    Some { name: String, version: Option<Version> },
}

impl Pattern {
    /// Reads a pattern. `None` where it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        let (text, digest) = split_digest(text);
        let (name, tag) = split_tag(text);
        let name = full_name(name);
        let is_name = is_name(&name, true);
        let is_tag = tag.is_none_or(|tag| is_tag(tag, true));
        let is_digest = digest.is_none_or(is_digest);
        let tag = tag.map(|tag| Version::Tag(tag.to_owned()));
        let version = digest.map(|digest| Version::Digest(digest.to_owned())).or(tag);
        (is_name && is_tag && is_digest).then_some(Self::Some { name, version })
    }

    /// Whether an image is meant. A pattern with a tag means no digests: what is behind one may have had any tag.
    pub(super) fn matches(&self, reference: &Reference) -> bool {
        let Self::Some { name, version } = self else { return true };
        let is_version = match (version, &reference.version) {
            (None, _) => true,
            (Some(Version::Tag(pattern)), Version::Tag(tag)) => matches(pattern, tag),
            (Some(Version::Digest(wanted)), Version::Digest(digest)) => wanted == digest,
            _ => false,
        };
        is_version && matches(name, &reference.name)
    }
}

fn split_digest(text: &str) -> (&str, Option<&str>) {
    text.split_once('@').map_or((text, None), |(text, digest)| (text, Some(digest)))
}

/// A colon before the last slash is that of a port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

fn full_name(name: &str) -> String {
    let (domain, path) = match name.split_once('/') {
        Some((domain, path)) if domain.contains(['.', ':']) || domain == "localhost" => (domain, path),
        _ => (DOMAIN, name),
    };
    let domain = if domain == "index.docker.io" { DOMAIN } else { domain };
    let is_official = domain == DOMAIN && !path.contains('/') && path != "*";
    if is_official { format!("{domain}/library/{path}") } else { format!("{domain}/{path}") }
}

/// A full name; its path may have stars, its registry never: `*.example` would be everybody's.
fn is_name(name: &str, with_stars: bool) -> bool {
    let Some((domain, path)) = name.split_once('/') else { return false };
    let (host, port) = domain.split_once(':').unwrap_or((domain, "1"));
    let is_label = |label| is_word(label, |byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_port = is_word(port, |byte| byte.is_ascii_digit());
    let is_part = |part| {
        is_word(part, |byte| {
            byte.is_ascii_lowercase()
                || byte.is_ascii_digit()
                || b"._-".contains(&byte)
                || (with_stars && byte == b'*')
        }) && !part.starts_with('.')
    };
    name.len() <= NAME_BYTES_MAX && host.split('.').all(is_label) && is_port && path.split('/').all(is_part)
}

fn is_tag(tag: &str, with_stars: bool) -> bool {
    let is_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte) || (with_stars && byte == b'*');
    tag.len() <= TAG_BYTES_MAX && is_word(tag, is_byte) && !tag.starts_with(['.', '-'])
}

fn is_digest(digest: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    digest.strip_prefix("sha256:").is_some_and(|digits| digits.len() == 64 && is_word(digits, hex))
}

fn is_word(text: &str, is_byte: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(is_byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn full(text: &str) -> Option<String> {
        Reference::parse(text).map(|reference| reference.to_string())
    }

    fn allows(pattern: &str, reference: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(&Reference::parse(reference).unwrap())
    }

    fn digest() -> String {
        format!("sha256:{}", "0a".repeat(32))
    }

    #[test]
    fn each_spelling_becomes_the_full_one() {
        for (short, long) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("busybox:1.36", "docker.io/library/busybox:1.36"),
            ("team/app", "docker.io/team/app:latest"),
            ("docker.io/busybox", "docker.io/library/busybox:latest"),
            ("index.docker.io/team/app:2", "docker.io/team/app:2"),
            ("localhost/app", "localhost/app:latest"),
            ("registry.example:5000/a/b/c", "registry.example:5000/a/b/c:latest"),
            ("e1f7166c41c7", "docker.io/library/e1f7166c41c7:latest"),
        ] {
            assert_eq!(full(short).as_deref(), Some(long));
            assert_eq!(full(long).as_deref(), Some(long));
        }
        let both = format!("app:1@{}", digest());
        assert_eq!(full(&both), Some(format!("docker.io/library/app@{}", digest())));
    }

    #[test]
    fn what_is_no_reference_is_none() {
        let long = "x".repeat(300);
        for wrong in [
            "",
            ":",
            "a:",
            "a b",
            "A",
            "../a",
            "a/../b",
            "a//b",
            "a:b/c:",
            "a@sha256:12",
            "a*",
            "a?x=1",
            "a#b",
            &long,
        ] {
            assert_eq!(full(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn patterns_mean_what_they_name() {
        assert!(allows("busybox", "busybox:1") && allows("busybox", &format!("busybox@{}", digest())));
        assert!(allows("busybox:1.*", "docker.io/library/busybox:1.36"));
        assert!(!allows("busybox:1.*", "busybox:2") && !allows("busybox:1.*", "busybox"));
        assert!(!allows("busybox", "evil/busybox") && !allows("busybox", "evil.example/library/busybox"));
        assert!(allows("registry.example/team/*", "registry.example/team/a/b:3"));
        assert!(!allows("registry.example/team/*", "registry.example.evil.example/team/a"));
        assert!(!allows("registry.example/team/*", "registry.example:1/team/a"));
        assert!(!allows("app:1", &format!("app:1@{}", digest())));
        assert!(allows(&format!("app@{}", digest()), &format!("app:1@{}", digest())));
        assert!(!allows(&format!("app@{}", digest()), "app:1"));
        assert!(allows("*", "any.example/thing") && allows("docker.io/*", "busybox"));
    }

    #[test]
    fn a_pattern_has_one_registry() {
        for wrong in ["*.example/app", "reg*.example/app", "example.org:*/app", "", "a:*/b", "a@*"] {
            assert_eq!(Pattern::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        /// Whatever is sent: what passes goes to the daemon as a part of a path, and means the same when read again.
        #[test]
        fn a_full_reference_is_harmless_and_stays_as_it_is(text in "[a-zA-Z0-9./:@*?#% _-]{0,40}") {
            if let Some(reference) = full(&text) {
                prop_assert!(!reference.contains(['?', '#', '%', ' ', '*']) && !reference.contains("/.."));
                prop_assert_eq!(full(&reference), Some(reference));
            }
        }
    }
}
