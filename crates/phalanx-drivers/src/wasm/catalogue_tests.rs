//! Lives of a catalogue, beside a plainer one that only remembers what was done.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds { modules_max: 2, versions_max: 3, bytes_max: 40 };

#[derive(Debug, Clone)]
enum Action {
    Insert(String, String, u64),
    Switch(String, String),
    RollBack(String, String),
    Remove(String, String, u64),
    Restart,
}

fn action() -> impl Strategy<Value = Action> {
    let names = || ("[ab c]", "[1-5]").prop_map(|(module, version)| (module, version));
    prop_oneof![
        4 => (names(), 1_u64..12).prop_map(|((module, version), bytes)| Action::Insert(module, version, bytes)),
        4 => names().prop_map(|(module, version)| Action::Switch(module, version)),
        2 => names().prop_map(|(module, version)| Action::RollBack(module, version)),
        3 => (names(), prop_oneof![3 => Just(0_u64), 1 => Just(2)])
            .prop_map(|((module, version), running)| Action::Remove(module, version, running)),
        1 => Just(Action::Restart),
    ]
}

/// What there is: the versions with their sizes, and which default followed which, without an end.
#[derive(Debug, Default, Clone, PartialEq)]
struct Model(BTreeMap<String, (BTreeMap<String, u64>, Vec<String>)>);

impl Model {
    fn of(catalogue: &Catalogue<u64>) -> Self {
        let module = |module: &Module<u64>| {
            let versions =
                module.versions.iter().map(|(name, version)| (name.clone(), version.kept)).collect();
            (versions, module.defaults.clone())
        };
        Self(catalogue.modules().map(|(name, it)| (name.clone(), module(it))).collect())
    }

    /// Whether the action must succeed.
    fn allows(&self, action: &Action) -> bool {
        let has = |module: &str, version: &str| {
            self.0.get(module).is_some_and(|(all, _)| all.contains_key(version))
        };
        let default = |module: &str| self.0.get(module).and_then(|(_, defaults)| defaults.last());
        match action {
            Action::Insert(module, version, bytes) => {
                let all: u64 = self.0.values().flat_map(|(versions, _)| versions.values()).sum();
                let room = self.0.get(module).map_or(self.0.len() < 2, |(versions, _)| versions.len() < 3);
                !has(module, version) && room && all + bytes <= 40
            }
            Action::Switch(module, version) => has(module, version),
            Action::RollBack(module, from) => {
                default(module) == Some(from)
                    && self.0.get(module).is_some_and(|(_, defaults)| defaults.len() > 1)
            }
            Action::Remove(module, version, running) => {
                let is_last = self.0.get(module).is_some_and(|(versions, _)| versions.len() == 1);
                has(module, version) && *running == 0 && (is_last || default(module) != Some(version))
            }
            Action::Restart => true,
        }
    }
}

fn act(catalogue: &mut Catalogue<u64>, action: &Action) -> Result<(), WasmError> {
    match action {
        Action::Insert(module, version, bytes) => catalogue.insert(module, version, *bytes, *bytes),
        Action::Switch(module, version) => catalogue.switch(module, version),
        Action::RollBack(module, from) => catalogue.roll_back(module, from).map(drop),
        Action::Remove(module, version, running) => catalogue.remove(module, version, |_| *running),
        Action::Restart => {
            let mut next = Catalogue::new(BOUNDS);
            for (name, module) in catalogue.modules() {
                for (version, it) in &module.versions {
                    next.insert(name, version, it.bytes, it.kept)?;
                }
            }
            next.restore(catalogue.defaults());
            *catalogue = next;
            Ok(())
        }
    }
}

proptest! {
    #[test]
    fn each_change_is_made_as_a_whole_or_not(actions in prop::collection::vec(action(), 0..60)) {
        let mut catalogue = Catalogue::new(BOUNDS);
        for action in actions {
            let before = Model::of(&catalogue);
            let done = act(&mut catalogue, &action);
            let after = Model::of(&catalogue);
            prop_assert_eq!(done.is_ok(), before.allows(&action), "{:?}: {:?}", &action, &done);
            if done.is_err() || matches!(action, Action::Restart) {
                prop_assert_eq!(&before, &after);
            }
            for (name, (versions, defaults)) in &after.0 {
                prop_assert!(!versions.is_empty() && !defaults.is_empty() && defaults.len() <= DEFAULTS_MAX);
                prop_assert!(defaults.iter().all(|version| versions.contains_key(version)));
                prop_assert!(defaults.windows(2).all(|two| two[0] != two[1]));
                let default = defaults.last().map(|version| versions[version]);
                prop_assert_eq!(catalogue.find(name, None).ok().copied(), default);
            }
            match &action {
                Action::Switch(module, version) if done.is_ok() => {
                    prop_assert_eq!(after.0[module].1.last(), Some(version));
                    let former = before.0[module].1.last().unwrap();
                    if former != version {
                        // The way back leads to where it came from.
                        let mut back = catalogue.clone();
                        prop_assert_eq!(&back.roll_back(module, version).unwrap(), former);
                    }
                }
                Action::Remove(module, version, _) if done.is_ok() => {
                    prop_assert!(catalogue.version(module, version).is_none());
                }
                _ => {}
            }
            let bytes: u64 = after.0.values().flat_map(|(versions, _)| versions.values()).sum();
            prop_assert_eq!(bytes, catalogue.bytes);
        }
    }
}

#[test]
fn errors_name_what_is_in_the_way() {
    let mut catalogue = Catalogue::new(BOUNDS);
    assert_eq!(catalogue.find("a", None), Err(WasmError::NoSuchModule));
    catalogue.insert("a", "1", 1, ()).unwrap();
    catalogue.insert("a", "2", 1, ()).unwrap();
    assert_eq!(catalogue.find("a", Some("3")), Err(WasmError::NoSuchVersion));
    assert_eq!(catalogue.insert("a", "2", 1, ()), Err(WasmError::VersionTaken));
    assert_eq!(catalogue.remove("a", "1", |()| 0), Err(WasmError::IsDefault));
    assert_eq!(catalogue.remove("a", "2", |()| 3), Err(WasmError::InUse { running: 3 }));
    assert_eq!(catalogue.roll_back("a", "1"), Err(WasmError::NothingBefore));
    assert_eq!(catalogue.roll_back("a", "2"), Err(WasmError::OtherDefault { version: "1".into() }));
    let full = |cap: &str, max| Err(WasmError::Full { cap: cap.to_owned(), max });
    assert_eq!(catalogue.insert("a", "3", 39, ()), full("sources_bytes_max", 40));
    catalogue.insert("a", "3", 1, ()).unwrap();
    assert_eq!(catalogue.insert("a", "4", 1, ()), full("versions_max", 3));
    catalogue.insert("b", "1", 1, ()).unwrap();
    assert_eq!(catalogue.insert("c", "1", 1, ()), full("modules_max", 2));
    assert_eq!(catalogue.insert("b", "2", u64::MAX, ()), full("sources_bytes_max", 40));

    // Without what was written down two versions have no default, and one alone is it.
    catalogue.restore(BTreeMap::new());
    assert_eq!(catalogue.find("a", None), Err(WasmError::NoDefault));
    assert_eq!(catalogue.roll_back("a", "1"), Err(WasmError::NoDefault));
    assert_eq!(catalogue.find("b", None), Ok(&()));
    let names: BTreeSet<&String> = catalogue.modules().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 2);
}
