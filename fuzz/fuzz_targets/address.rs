//! Any text is an address, a list of them, or refused; and what is taken prints to a text that parses to the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use phalanx_base::{Address, AddressList, Host};

fuzz_target!(|text: &str| {
    if let Ok(host) = text.parse::<Host>() {
        assert_eq!(host.to_string().parse(), Ok(host));
    }
    if let Ok(address) = text.parse::<Address>() {
        let printed = address.to_string();
        assert!(printed.len() <= Address::LENGTH_MAX);
        assert_eq!(printed.parse(), Ok(address));
    }
    if let Ok(list) = text.parse::<AddressList>() {
        assert!(list.len() <= AddressList::LENGTH_MAX);
        assert_eq!(list.to_string().parse(), Ok(list));
    }
});
