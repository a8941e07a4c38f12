//! The types of a function by their names, so that two programs can find out that they disagree before anything runs.

use std::any::type_name;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest name of a type that is kept, in bytes; the rest is cut off at both ends alike.
pub const TYPE_NAME_BYTES_MAX: usize = 256;

/// What a function takes and gives, by the names of the types without their paths: two programs may keep the same type in
/// different places. Types that are written alike and are not the same are told apart only as far as their encodings are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The type of the argument.
    pub argument: String,
    /// The type of the result.
    pub result: String,
    /// The type of the error.
    pub error: String,
}

impl Signature {
    /// That of a function from `A` to `Result<R, E>`.
    #[must_use]
    pub fn of<A: ?Sized, R, E>() -> Self {
        Self { argument: short_name::<A>(), result: short_name::<R>(), error: short_name::<E>() }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}) -> Result<{}, {}>", self.argument, self.result, self.error)
    }
}

/// The name of a type as people write it: without paths, and of a borrowed text that of an owned one, since both travel
/// alike.
fn short_name<T: ?Sized>() -> String {
    shorten(type_name::<T>())
}

fn shorten(full: &str) -> String {
    let mut short = String::new();
    let mut word = String::new();
    let end = |word: &mut String, short: &mut String| {
        short.push_str(if word == "str" { "String" } else { word });
        word.clear();
    };
    for character in full.chars() {
        match character {
            '&' => {}
            // What was before a `::` is a path.
            ':' => word.clear(),
            _ if character.is_alphanumeric() || character == '_' => word.push(character),
            _ => {
                end(&mut word, &mut short);
                short.push(character);
            }
        }
    }
    end(&mut word, &mut short);
    let mut length = short.len().min(TYPE_NAME_BYTES_MAX);
    while !short.is_char_boundary(length) {
        length -= 1;
    }
    short.truncate(length);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_people_write_them() {
        for (full, short) in [
            ("u64", "u64"),
            ("()", "()"),
            ("&str", "String"),
            ("alloc::string::String", "String"),
            ("alloc::vec::Vec<(alloc::string::String, shop::order::Order)>", "Vec<(String, Order)>"),
            ("core::option::Option<&shop::Order>", "Option<Order>"),
            ("[u8; 4]", "[u8; 4]"),
            ("shop::strange", "strange"),
        ] {
            assert_eq!(shorten(full), short);
        }
        assert_eq!(shorten(&"ä".repeat(400)).len(), TYPE_NAME_BYTES_MAX);
    }

    #[test]
    fn a_borrowed_argument_fits_an_owned_one() {
        assert_eq!(Signature::of::<str, u64, String>(), Signature::of::<String, u64, String>());
        assert_ne!(Signature::of::<u32, u64, String>(), Signature::of::<u64, u64, String>());
        assert_eq!(Signature::of::<&str, u64, ()>().to_string(), "(String) -> Result<u64, ()>");
    }
}
