//! Several addresses of one node, best first: `phalanx://10.0.0.5:7000,phalanx://[2001:db8::5]:7000`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Address, AddressError};

/// Several addresses of one node, best first; may be empty.
///
/// As a text they are separated by commas, and white space around each is dropped. On the wire a list is its
/// text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressList(Vec<Address>);

/// Why something is not an [`AddressList`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressListError {
    /// There are more than [`AddressList::LENGTH_MAX`].
    #[error("a node has at most {} addresses: leave the others out", AddressList::LENGTH_MAX)]
    TooMany,
    /// One of them is wrong.
    #[error("address {number} of the list: {reason}")]
    Address {
        /// Which one, counted from 1.
        number: usize,
        /// What is wrong with it; positions are bytes of the whole list.
        reason: AddressError,
    },
}

impl AddressList {
    /// The greatest number of addresses: every address is dialled in turn, and the list travels with its node's
    /// entry in the roster.
    pub const LENGTH_MAX: usize = 16;

    /// A list of these addresses, in this order.
    ///
    /// # Errors
    /// [`AddressListError::TooMany`] where there are more than [`AddressList::LENGTH_MAX`].
    pub fn new(addresses: impl IntoIterator<Item = Address>) -> Result<Self, AddressListError> {
        // One more than the cap is enough to know that there are too many, however long the input is.
        let list: Vec<Address> = addresses.into_iter().take(Self::LENGTH_MAX + 1).collect();
        if list.len() > Self::LENGTH_MAX {
            return Err(AddressListError::TooMany);
        }
        Ok(Self(list))
    }

    /// The addresses, best first.
    pub fn iter(&self) -> std::slice::Iter<'_, Address> {
        self.0.iter()
    }

    /// The addresses, best first.
    #[must_use]
    pub fn as_slice(&self) -> &[Address] {
        &self.0
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn parse(text: &str) -> Result<Self, AddressListError> {
        let mut list = Vec::new();
        if text.trim().is_empty() {
            return Ok(Self(list));
        }
        let mut at = 0;
        for piece in text.split(',') {
            if list.len() == Self::LENGTH_MAX {
                return Err(AddressListError::TooMany);
            }
            let start = at + piece.len() - piece.trim_start().len();
            let address = Address::parse_at(piece.trim(), start);
            list.push(
                address.map_err(|reason| AddressListError::Address { number: list.len() + 1, reason })?,
            );
            at += piece.len() + 1;
        }
        Ok(Self(list))
    }
}

impl From<Address> for AddressList {
    fn from(address: Address) -> Self {
        Self(vec![address])
    }
}

impl TryFrom<Vec<Address>> for AddressList {
    type Error = AddressListError;
    fn try_from(addresses: Vec<Address>) -> Result<Self, AddressListError> {
        Self::new(addresses)
    }
}

impl IntoIterator for AddressList {
    type Item = Address;
    type IntoIter = std::vec::IntoIter<Address>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a AddressList {
    type Item = &'a Address;
    type IntoIter = std::slice::Iter<'a, Address>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl FromStr for AddressList {
    type Err = AddressListError;
    fn from_str(text: &str) -> Result<Self, AddressListError> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for AddressList {
    type Error = AddressListError;
    fn try_from(text: &str) -> Result<Self, AddressListError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for AddressList {
    type Error = AddressListError;
    fn try_from(text: String) -> Result<Self, AddressListError> {
        Self::parse(&text)
    }
}

impl From<AddressList> for String {
    fn from(list: AddressList) -> Self {
        let texts: Vec<String> = list.0.into_iter().map(String::from).collect();
        texts.join(",")
    }
}

impl fmt::Display for AddressList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from(self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::tests::any_address;
    use proptest::prelude::*;

    fn list(text: &str) -> AddressList {
        text.parse().expect(text)
    }

    #[test]
    fn lists_print_as_they_parse() {
        let two = list(" a:1 ,\tphalanx://[::1];transport=quic\n");
        assert_eq!(two.to_string(), "phalanx://a:1,phalanx://[::1];transport=quic");
        assert_eq!(two.to_string().parse(), Ok(two));
        assert_eq!((list(""), list(" ")), (AddressList::default(), AddressList::default()));
    }

    #[test]
    fn refusals_say_which_and_where() {
        let refusal = |text: &str| text.parse::<AddressList>().expect_err(text);
        let empty = |number, at| AddressListError::Address { number, reason: AddressError::Empty { at } };
        assert_eq!(refusal("a,,b"), empty(2, 2));
        assert_eq!(refusal("a,"), empty(2, 2));
        assert_eq!(refusal(",a"), empty(1, 0));
        assert_eq!(
            refusal("a, b;c=d").to_string(),
            "address 2 of the list: unknown parameter \"c\" at byte 5: this version knows \"transport\" only"
        );
    }

    #[test]
    fn the_cap_holds_however_a_list_is_made() {
        let full = vec!["a"; AddressList::LENGTH_MAX].join(",");
        assert_eq!(list(&full).len(), AddressList::LENGTH_MAX);
        let over = format!("{full},a");
        assert_eq!(over.parse::<AddressList>(), Err(AddressListError::TooMany));
        assert_eq!(AddressList::new(list("a").iter().cycle().cloned()), Err(AddressListError::TooMany));
        assert!(postcard::from_bytes::<AddressList>(&postcard::to_stdvec(&over).unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in "\\PC{0,40}|([a-z]{1,4}(:[0-9]{1,3})?[, ]{1,2}){0,18}[a-z]?") {
            if let Ok(list) = text.parse::<AddressList>() {
                prop_assert!(list.len() <= AddressList::LENGTH_MAX);
                prop_assert_eq!(list.to_string().parse::<AddressList>(), Ok(list));
            }
        }

        #[test]
        fn every_list_survives_its_text_and_the_wire(list in prop::collection::vec(any_address(), 0..=16)) {
            let list = AddressList::new(list).unwrap();
            prop_assert_eq!(list.to_string().parse::<AddressList>(), Ok(list.clone()));
            let bytes = postcard::to_stdvec(&list).unwrap();
            prop_assert_eq!(postcard::from_bytes::<AddressList>(&bytes), Ok(list));
        }
    }
}
