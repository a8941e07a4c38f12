//! The table against a plain map that follows the same rules in the most obvious way.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::class::{Condition, KvError, Version};
use super::super::limits::KvLimits;
use super::Table;

const LIMITS: KvLimits = KvLimits { key_bytes_max: 3, value_bytes_max: 8, bytes_max: 40, keys_max: 6 };

#[derive(Debug, Clone)]
enum Act {
    Get(String),
    Put(String, Vec<u8>, Cond),
    Delete(String, Cond),
    List(String, Option<String>, u32),
}

/// A condition in terms of what the run has seen.
#[derive(Debug, Clone, Copy)]
enum Cond {
    Always,
    Absent,
    /// The version that the key has now, if it has one.
    Present,
    /// The n-th version that was ever given.
    Seen(usize),
}

fn key() -> impl Strategy<Value = String> {
    "[ab]{0,4}"
}

fn cond() -> impl Strategy<Value = Cond> {
    prop_oneof![
        3 => Just(Cond::Always),
        1 => Just(Cond::Absent),
        2 => Just(Cond::Present),
        1 => (0..20_usize).prop_map(Cond::Seen),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => key().prop_map(Act::Get),
        4 => (key(), prop::collection::vec(any::<u8>(), 0..10), cond()).prop_map(|(k, v, c)| Act::Put(k, v, c)),
        2 => (key(), cond()).prop_map(|(k, c)| Act::Delete(k, c)),
        1 => ("[ab]{0,2}", prop::option::of(key()), 0..4_u32).prop_map(|(p, a, n)| Act::List(p, a, n)),
    ]
}

#[derive(Default)]
struct Model {
    kept: BTreeMap<String, (Version, Vec<u8>)>,
    given: Vec<Version>,
}

impl Model {
    fn condition(&self, key: &str, cond: Cond) -> Condition {
        match cond {
            Cond::Always => Condition::Always,
            Cond::Absent => Condition::Absent,
            Cond::Present => {
                self.kept.get(key).map_or(Condition::Absent, |(version, _)| Condition::Is(*version))
            }
            Cond::Seen(at) => self.given.get(at).map_or(Condition::Absent, |version| Condition::Is(*version)),
        }
    }

    fn holds(&self, key: &str, condition: Condition) -> bool {
        match condition {
            Condition::Always => true,
            Condition::Absent => !self.kept.contains_key(key),
            Condition::Is(version) => self.kept.get(key).is_some_and(|(present, _)| *present == version),
        }
    }

    fn bytes(&self) -> u64 {
        self.kept.iter().map(|(key, (_, value))| (key.len() + value.len()) as u64).sum()
    }

    fn put(&mut self, key: &str, value: &[u8], condition: Condition, said: &Result<Version, KvError>) {
        let mut then = self.kept.clone();
        then.insert(key.to_owned(), (Version { life: 7, number: 0 }, value.to_vec()));
        let bytes: u64 = then.iter().map(|(key, (_, value))| (key.len() + value.len()) as u64).sum();
        match said {
            Ok(version) => {
                assert!(self.holds(key, condition), "set against its condition");
                assert!(
                    !key.is_empty() && key.len() <= 3 && value.len() <= 8 && bytes <= 40 && then.len() <= 6
                );
                assert!(self.given.iter().all(|before| before.number < version.number && version.life == 7));
                self.given.push(*version);
                self.kept.insert(key.to_owned(), (*version, value.to_vec()));
            }
            Err(KvError::Conflict { present }) => {
                assert!(!self.holds(key, condition));
                assert_eq!(*present, self.kept.get(key).map(|(version, _)| *version));
            }
            Err(KvError::Key { .. }) => assert!(key.is_empty() || key.len() > 3),
            Err(KvError::Value { .. }) => assert!(value.len() > 8),
            Err(KvError::BytesFull { .. }) => assert!(bytes > 40),
            Err(KvError::KeysFull { .. }) => assert!(then.len() > 6),
        }
    }

    fn delete(&mut self, key: &str, condition: Condition, said: &Result<bool, KvError>) {
        let there = self.kept.contains_key(key);
        let present = self.kept.get(key).map(|(version, _)| *version);
        let holds = self.holds(key, condition);
        assert_eq!(*said, if holds { Ok(there) } else { Err(KvError::Conflict { present }) });
        if holds {
            self.kept.remove(key);
        }
    }

    fn list(&self, prefix: &str, after: Option<&str>) -> Vec<(String, Version)> {
        let mut all: Vec<_> = self.kept.iter().map(|(key, (version, _))| (key.clone(), *version)).collect();
        all.retain(|(key, _)| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        all
    }
}

proptest! {
    #[test]
    fn the_table_is_a_map_with_versions_and_bounds(acts in prop::collection::vec(act(), 1..80)) {
        let (mut table, mut model) = (Table::new(LIMITS, 7), Model::default());
        for act in acts {
            match act {
                Act::Get(key) => {
                    let expected = model.kept.get(&key).map(|(version, value)| (*version, value.clone()));
                    prop_assert_eq!(table.get(&key).map(|it| (it.version, it.value.to_vec())), expected);
                }
                Act::Put(key, value, cond) => {
                    let condition = model.condition(&key, cond);
                    let said = table.put(&key, Bytes::from(value.clone()), condition);
                    model.put(&key, &value, condition, &said);
                }
                Act::Delete(key, cond) => {
                    let condition = model.condition(&key, cond);
                    let said = table.delete(&key, condition);
                    model.delete(&key, condition, &said);
                }
                Act::List(prefix, after, keys_max) => {
                    let expected = model.list(&prefix, after.as_deref());
                    let page = table.list(&prefix, after.as_deref(), keys_max);
                    let room = keys_max.max(1) as usize;
                    prop_assert_eq!(page.more, expected.len() > room);
                    let named: Vec<_> = page.keys.into_iter().map(|it| (it.key, it.version)).collect();
                    prop_assert_eq!(named, expected.into_iter().take(room).collect::<Vec<_>>());
                }
            }
            prop_assert_eq!(table.usage().bytes, model.bytes());
            prop_assert_eq!(table.usage().keys, model.kept.len() as u64);
        }
    }
}

#[test]
fn pages_follow_each_other_and_are_bounded_by_their_bytes() {
    let limits = KvLimits { key_bytes_max: 4 << 10, bytes_max: 64 << 20, ..KvLimits::default() };
    let mut table = Table::new(limits, 1);
    let keys: Vec<String> = (0..300).map(|at| format!("{at:03}{}", "k".repeat(4_000))).collect();
    for key in &keys {
        table.put(key, Bytes::new(), Condition::Always).unwrap();
    }
    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = table.list("", after.as_deref(), u32::MAX);
        assert!(page.keys.iter().map(|it| it.key.len()).sum::<usize>() <= 512 << 10);
        seen.extend(page.keys.into_iter().map(|it| it.key));
        (after, pages) = (seen.last().cloned(), pages + 1);
        if !page.more {
            break;
        }
    }
    assert_eq!((seen, pages), (keys, 3));
}

#[test]
fn a_version_of_another_life_fits_nothing() {
    let (mut before, mut after) = (Table::new(LIMITS, 1), Table::new(LIMITS, 2));
    let old = before.put("a", Bytes::from_static(b"1"), Condition::Absent).unwrap();
    let new = after.put("a", Bytes::from_static(b"1"), Condition::Absent).unwrap();
    assert_eq!(old.number, new.number);
    let said = after.put("a", Bytes::from_static(b"2"), Condition::Is(old));
    assert_eq!(said, Err(KvError::Conflict { present: Some(new) }));
    assert!(said.unwrap_err().to_string().contains("read it again"));
}
