//! Any text is labels or refused; what is taken prints to a text that parses to the same, and changes keep it so.

#![no_main]

use libfuzzer_sys::fuzz_target;
use phalanx_base::{Item, Labels};

fuzz_target!(|texts: (&str, &str)| {
    let (text, change) = texts;
    let Ok(mut labels) = text.parse::<Labels>() else { return };
    check(&labels);
    if let Ok(item) = change.parse::<Item>() {
        let before = labels.clone();
        let name = item.name().to_owned();
        match labels.update(item) {
            Ok(_) => assert!(labels.item(&name).is_some()),
            Err(_) => assert_eq!(labels, before),
        }
        check(&labels);
        labels.remove(&name);
        assert!(labels.item(&name).is_none());
        check(&labels);
    }
});

fn check(labels: &Labels) {
    let printed = labels.to_string();
    assert!(printed.len() <= Labels::LENGTH_MAX && labels.items().len() <= Labels::ITEMS_MAX);
    assert_eq!(printed.parse().as_ref(), Ok(labels));
}
