//! Names of files inside a root: relative, without a way out.

use std::fmt;

use super::error::FilesError;

/// The longest path, in bytes: what Linux takes.
pub const PATH_BYTES_MAX: usize = 4_096;

/// The longest name of a file or folder, in bytes: what the usual file systems take.
pub const NAME_BYTES_MAX: usize = 255;

/// How deep a path goes: each folder of it is a handle for a moment.
pub const DEPTH_MAX: usize = 64;

/// The folder, in a root, of what has not arrived as a whole yet. Nobody can name it.
pub(super) const PARTIALS: &str = ".phalanx-partials";

/// A path of names, each of which is one step down. The empty one is the root itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct RelativePath(Vec<String>);

impl RelativePath {
    /// Names joined by `/`. The empty text is the root itself.
    ///
    /// # Errors
    /// [`FilesError::Path`].
    pub(super) fn parse(text: &str) -> Result<Self, FilesError> {
        let refuse = |why: &str| FilesError::Path { path: shown(text), why: why.to_owned() };
        if text.len() > PATH_BYTES_MAX {
            return Err(refuse("it is too long"));
        }
        if text.is_empty() {
            return Ok(Self::default());
        }
        if text.starts_with('/') {
            return Err(refuse("it is absolute: name it from its root"));
        }
        let names: Vec<String> = text.split('/').map(str::to_owned).collect();
        if names.len() > DEPTH_MAX {
            return Err(refuse("it is too deep"));
        }
        match names.iter().find_map(|name| fault(name)) {
            Some(why) => Err(refuse(why)),
            None => Ok(Self(names)),
        }
    }

    pub(super) fn names(&self) -> &[String] {
        &self.0
    }

    /// The folders on the way, and the last name; `None` of the root itself.
    pub(super) fn split(&self) -> Option<(&[String], &str)> {
        let (last, folders) = self.0.split_last()?;
        Some((folders, last))
    }
}

impl fmt::Display for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

/// What is wrong with a name.
fn fault(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("it has an empty name in it"),
        "." | ".." => Some("it has `.` or `..` in it: name it from its root"),
        PARTIALS => Some("its folder is kept for what has not arrived yet"),
        _ if name.contains('\0') => Some("it has a zero byte in it"),
        _ if name.len() > NAME_BYTES_MAX => Some("it has a name in it that is too long"),
        _ => None,
    }
}

/// Whether a name of a listing can be sent.
pub(super) fn is_name(name: &str) -> bool {
    !name.contains('/') && fault(name).is_none()
}

/// How much of a path of unknown origin is said in an error, in bytes.
const SHOWN_BYTES_MAX: usize = 256;

/// A path as errors say it.
pub(super) fn shown(text: &str) -> String {
    let mut end = text.len().min(SHOWN_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].escape_debug().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_leads_out_is_refused() {
        let (long, deep, name) = ("n/".repeat(2_100), "a/".repeat(70), "n".repeat(256));
        for text in [
            "/",
            "/etc/passwd",
            "..",
            "../a",
            "a/..",
            "a/../b",
            ".",
            "./a",
            "a/.",
            "a//b",
            "a/",
            "//",
            "a\0b",
            "\0",
            "a/.phalanx-partials/b",
            ".phalanx-partials",
            &long,
            &deep,
            &name,
        ] {
            assert!(matches!(RelativePath::parse(text), Err(FilesError::Path { .. })), "{text:?}");
        }
        for text in ["", "a", "a/b", "...", "..a", "a..", "ä ö", "-", "a\\..\\b", ".hidden", "~"] {
            assert_eq!(RelativePath::parse(text).unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn each_name_is_one_step_down(text in "[a./\0\\\\]{0,12}") {
            if let Ok(path) = RelativePath::parse(&text) {
                prop_assert_eq!(path.to_string(), text);
                for name in path.names() {
                    prop_assert!(!["", ".", "..", PARTIALS].contains(&name.as_str()));
                    prop_assert!(!name.contains('/') && !name.contains('\0'));
                }
            }
        }
    }
}
