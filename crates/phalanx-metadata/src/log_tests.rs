//! A copy of a log that takes parts in any order, from any copy, comes to what the origin has.

use proptest::prelude::*;

use super::*;
use crate::Table;
use crate::record::{Content, Order, Stamp};
use phalanx_base::{Generation, NodeId};

fn origin() -> Boot {
    Boot { node: NodeId::new("a").unwrap(), generation: Generation::from_u64(1) }
}

fn key(n: u8) -> Key {
    Key::new(Table::new("t").unwrap(), &format!("k{n}")).unwrap()
}

fn record(value: Option<u8>) -> Record {
    let content = value.map_or(Content::Removed, |value| Content::Value(vec![value].into()));
    let stamp = Stamp { unix_ms: 0, counter: 0, writer: origin().node };
    Record { stamp, order: Order::default(), content }
}

#[derive(Debug, Clone)]
enum Step {
    Write(u8, Option<u8>),
    /// Forgets what is dead up to a version.
    Raise(prop::sample::Index),
    /// A copy makes a part for another one, in so little room; it is taken now, or later, or never.
    Send {
        from: usize,
        to: usize,
        room: usize,
        delay: u8,
    },
    /// A part that was delayed comes.
    Deliver(prop::sample::Index),
}

const COPIES: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6_u8, any::<Option<u8>>()).prop_map(|(key, value)| Step::Write(key, value)),
        1 => any::<prop::sample::Index>().prop_map(Step::Raise),
        6 => (0..=COPIES, 0..=COPIES, 0..4_usize, 0..3_u8)
            .prop_map(|(from, to, room, delay)| Step::Send { from, to, room, delay }),
        2 => any::<prop::sample::Index>().prop_map(Step::Deliver),
    ]
}

/// The origin is the last one.
struct World {
    logs: Vec<Log>,
    delayed: Vec<(usize, Part)>,
}

fn room(lines: usize) -> usize {
    Part::bytes_empty() + (lines + 1) * Line::bytes_max(&key(0), &record(Some(0)))
}

impl World {
    fn part(&self, from: usize, to: usize, lines: usize) -> Option<Part> {
        let (teller, hearer) = (&self.logs[from], &self.logs[to]);
        if teller.is_partial() {
            return None;
        }
        let start = if teller.watermark() > hearer.base() { 0 } else { hearer.known() };
        teller.part(&origin(), start, teller.known(), &mut room(lines))
    }

    fn take(&mut self, to: usize, part: &Part) {
        if to < COPIES {
            let _ = self.logs[to].apply(part, usize::MAX, &Limits::default());
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Write(n, value) => self.logs[COPIES].append(key(*n), record(*value)),
            Step::Raise(index) => {
                let own = &mut self.logs[COPIES];
                let watermark = index.index(own.known() as usize + 1) as u64;
                if watermark > own.watermark() {
                    own.raise_watermark(watermark);
                }
            }
            Step::Send { from, to, room, delay } => {
                if let Some(part) = self.part(*from, *to, *room) {
                    match delay {
                        0 => self.take(*to, &part),
                        1 => self.delayed.push((*to, part)),
                        _ => {}
                    }
                }
            }
            Step::Deliver(index) => {
                if !self.delayed.is_empty() {
                    let (to, part) = self.delayed[index.index(self.delayed.len())].clone();
                    self.take(to, &part);
                }
            }
        }
    }
}

fn check(log: &Log) {
    let bytes: usize = log.records().map(|(key, record)| record.bytes(key)).sum();
    assert_eq!((log.bytes, log.by_version.len()), (bytes, log.records.len()));
    for (version, key) in &log.by_version {
        assert_eq!(log.records[key].0, *version);
        assert_eq!(log.records[key].1.is_dead(), log.dead.contains(version));
    }
    assert!(log.is_partial() || log.stale.is_empty());
    assert!(log.is_partial() || log.dead.iter().all(|version| *version > log.watermark));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn copies_come_to_what_the_origin_has(steps in prop::collection::vec(step(), 0..120)) {
        let mut world = World { logs: std::iter::repeat_with(Log::default).take(COPIES + 1).collect(), delayed: vec![] };
        // What a complete copy shows is what the origin once had at that version.
        let mut seen: BTreeMap<u64, Vec<(Key, Record)>> = BTreeMap::new();
        let living = |log: &Log| -> Vec<(Key, Record)> {
            let living = log.records().filter(|(_, record)| !record.is_dead());
            living.map(|(key, record)| (key.clone(), record.clone())).collect()
        };
        for step in &steps {
            world.step(step);
            let own = &world.logs[COPIES];
            seen.insert(own.known(), living(own));
            world.logs.iter().for_each(check);
        }
        for to in 0..COPIES {
            for _ in 0..200 {
                let Some(part) = world.part(COPIES, to, 0) else { break };
                world.take(to, &part);
                check(&world.logs[to]);
            }
            let (copy, own) = (&world.logs[to], &world.logs[COPIES]);
            prop_assert_eq!(copy.known(), own.known());
            prop_assert!(!copy.is_partial());
            prop_assert_eq!(&living(copy), &seen.get(&own.known()).cloned().unwrap_or_default());
            prop_assert!(copy.records().eq(own.records()) || copy.watermark() < own.watermark());
        }
    }
}

#[test]
fn whoever_is_behind_the_watermark_keeps_what_it_has_until_it_has_all_of_it() {
    let (mut own, mut copy) = (Log::default(), Log::default());
    let limits = Limits::default();
    own.append(key(1), record(Some(1)));
    own.append(key(2), record(Some(1)));
    let all = own.part(&origin(), 0, 2, &mut room(9)).unwrap();
    copy.apply(&all, usize::MAX, &limits).unwrap();
    own.append(key(1), record(None));
    own.append(key(3), record(Some(1)));
    own.append(key(2), record(Some(2)));
    assert_eq!(own.raise_watermark(3), [key(1)]);
    let late = own.part(&origin(), 2, 6, &mut room(9)).unwrap();
    assert_eq!(copy.apply(&late, usize::MAX, &limits), Err(PartError::Gap));
    let first = own.part(&origin(), 0, 6, &mut room(0)).unwrap();
    assert_eq!((first.from, first.to), (0, 4));
    assert_eq!(copy.apply(&first, usize::MAX, &limits), Ok(vec![key(3)]));
    assert!(copy.is_partial() && copy.record(&key(1)).is_some() && copy.record(&key(2)).is_some());
    let rest = own.part(&origin(), 4, 6, &mut room(9)).unwrap();
    let changed = copy.apply(&rest, usize::MAX, &limits).unwrap();
    assert_eq!(changed, [key(2), key(1)]);
    assert!(copy.records().eq(own.records()));
    assert_eq!(copy.apply(&rest, usize::MAX, &limits), Err(PartError::Old));
}

#[test]
fn what_is_over_the_limits_changes_nothing() {
    let mut own = Log::default();
    (0..4).for_each(|n| own.append(key(n), record(Some(n))));
    let all = own.part(&origin(), 0, 4, &mut room(9)).unwrap();
    let one = record(Some(0)).bytes(&key(0));
    for (records, bytes, free) in
        [(3, usize::MAX, usize::MAX), (9, 3 * one, usize::MAX), (9, usize::MAX, 3 * one)]
    {
        let limits = Limits { log_records_max: records, log_bytes_max: bytes, total_bytes_max: 0 };
        let mut copy = Log::default();
        assert_eq!(copy.apply(&all, free, &limits), Err(PartError::TooLarge));
        assert_eq!((copy.known(), copy.len(), copy.bytes()), (0, 0, 0));
        assert!(!own.has_room(&key(4), &record(Some(4)), free.min(one - 1), &limits));
    }
}

#[test]
fn lies_about_a_log_are_swept_away_once_it_is_begun_anew() {
    let (mut own, mut lie, mut copy) = (Log::default(), Log::default(), Log::default());
    own.append(key(1), record(Some(1)));
    (0..9).for_each(|n| lie.append(key(n % 3), record(Some(99))));
    let false_part = lie.part(&origin(), 0, 9, &mut room(9)).unwrap();
    copy.apply(&false_part, usize::MAX, &Limits::default()).unwrap();
    own.outbid(copy.base());
    let anew = own.part(&origin(), 0, own.known(), &mut room(9)).unwrap();
    copy.apply(&anew, usize::MAX, &Limits::default()).unwrap();
    assert!(copy.records().eq(own.records()));
    check(&copy);
}
