//! What is kept on a disk: it comes back as it was, and nothing that was changed there is believed.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::super::policy::WasmLimits;
use super::super::signing::{SignedModule, Signer};
use super::*;

fn signer() -> Signer {
    Signer::from_seed(&[3; 32])
}

fn allowed(policy: WasmPolicy) -> WasmPolicy {
    let limits = WasmLimits { modules_max: 2, versions_max: 3, ..WasmLimits::default() };
    policy.allow_signer("tests", signer().key()).limits(limits)
}

fn policy(folder: &Path) -> WasmPolicy {
    allowed(WasmPolicy::kept_in(folder))
}

fn module(module: &str, version: &str) -> SignedModule {
    let source = format!(
        r#"(module (memory (export "memory") 1) (data (i32.const 0) "{module} {version}")
            (func (export "phalanx_alloc") (param i32) (result i32) (i32.const 0))
            (func (export "run") (param i32 i32) (result i64) (i64.const 3)))"#
    );
    signer().sign(module, version, wat::parse_str(source).unwrap()).unwrap()
}

struct Opened {
    policy: WasmPolicy,
    machine: Arc<Machine>,
    store: Store,
}

fn open_with(policy: WasmPolicy) -> Opened {
    let machine = Machine::new(policy.limits, &policy.grants).unwrap();
    let store = Store::open(&policy, &machine).unwrap();
    Opened { policy, machine, store }
}

fn open(folder: &Path) -> Opened {
    open_with(policy(folder))
}

impl Opened {
    fn push(&self, module: &SignedModule) -> Result<VersionInfo, WasmError> {
        let signer = self.policy.admit(&module.announced)?;
        if let Some(there) = self.store.there(&module.announced)? {
            return Ok(there);
        }
        let compiled = Compiled::new(&self.machine, module.announced.clone(), signer, &module.bytes)?;
        self.store.keep(compiled, &module.bytes)
    }
}

#[test]
fn what_was_changed_on_the_disk_is_left_out_and_the_rest_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    {
        let opened = open(folder.path());
        for (name, version) in [("a", "1"), ("a", "2"), ("b", "1")] {
            assert_eq!(opened.push(&module(name, version)).unwrap().signer, "tests");
        }
        opened.store.switch("a", "2").unwrap();
        // Nobody else may use the folder meanwhile.
        let machine = Machine::new(opened.policy.limits, &opened.policy.grants).unwrap();
        let other = Store::open(&opened.policy, &machine).err();
        assert_eq!(other, Some(WasmPolicyError::FolderInUse { path: folder.path().to_owned() }));
    }
    let all = open(folder.path()).store.list();
    let names: Vec<_> = all.iter().map(|it| (it.module.as_str(), it.defaults.join(" "))).collect();
    assert_eq!(names, [("a", "1 2".to_owned()), ("b", "1".to_owned())]);

    // What a crash leaves while it writes, and what is not ours.
    fs::write(path(".writing"), b"half").unwrap();
    fs::write(path("c@1.module"), b"phalanx wasm 1\r\n\xff\xff\xff\xff").unwrap();
    fs::write(path("notes.txt"), b"").unwrap();
    // One version under another one's name, and one with another content.
    fs::copy(path("a@1.module"), path("a@3.module")).unwrap();
    let mut bytes = fs::read(path("b@1.module")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path("b@1.module"), bytes).unwrap();
    let opened = open(folder.path());
    assert!(!path(".writing").exists());
    assert_eq!(opened.store.list(), all[..1]);
    // What was left out is still on the disk, until it is pushed again.
    assert!(path("b@1.module").exists());
    opened.push(&module("b", "1")).unwrap();
    drop(opened);
    assert_eq!(open(folder.path()).store.list(), all);

    // Without the file of defaults nothing runs that nobody has named.
    fs::write(path("defaults"), b"nothing like it").unwrap();
    let opened = open(folder.path());
    assert_eq!(opened.store.begin(&Entry::new("a", "run")).err(), Some(WasmError::NoDefault));
    assert!(opened.store.begin(&Entry::new("a", "run").version("1")).is_ok());
    assert!(opened.store.begin(&Entry::new("b", "run")).is_ok(), "a version alone is the default");
}

#[test]
fn a_key_that_is_not_allowed_any_more_runs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).push(&module("a", "1")).unwrap();
    let other = Signer::from_seed(&[4; 32]).key();
    let policy = WasmPolicy::kept_in(folder.path()).allow_signer("others", other);
    let opened = open_with(policy);
    assert_eq!(opened.store.list(), []);
    assert!(matches!(opened.push(&module("a", "1")), Err(WasmError::UnknownKey { .. })));
    drop(opened);
    assert_eq!(open(folder.path()).store.list().len(), 1, "it was left where it was");
}

#[cfg(unix)]
#[test]
fn a_disk_that_takes_nothing_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(folder.path());
    opened.push(&module("a", "1")).unwrap();
    // A folder where the file should be written is as good as a full disk.
    fs::create_dir(folder.path().join(".writing")).unwrap();
    let before = opened.store.list();
    assert!(matches!(opened.push(&module("a", "2")), Err(WasmError::Disk { .. })));
    assert!(matches!(opened.store.remove("a", "1"), Err(WasmError::Disk { .. })));
    assert_eq!(opened.store.list(), before);
    fs::remove_dir(folder.path().join(".writing")).unwrap();
    opened.push(&module("a", "2")).unwrap();
    assert_eq!(opened.push(&module("a", "2")).unwrap().running, 0, "the same again is no change");
    let mut other = module("a", "3");
    other = signer().sign("a", "2", other.bytes).unwrap();
    assert_eq!(opened.push(&other), Err(WasmError::VersionTaken));
}

#[derive(Debug, Clone)]
enum Action {
    Push(usize),
    Switch(usize),
    RollBack(usize),
    Remove(usize),
    Restart,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_store_that_is_opened_again_is_what_it_was(
        actions in prop::collection::vec(prop_oneof![
            3 => (0_usize..8).prop_map(Action::Push),
            3 => (0_usize..8).prop_map(Action::Switch),
            1 => (0_usize..8).prop_map(Action::RollBack),
            1 => (0_usize..8).prop_map(Action::Remove),
            1 => Just(Action::Restart),
        ], 0..24),
    ) {
        let modules: Vec<SignedModule> =
            (0..8).map(|at| module(["a", "b"][at / 4], &(at % 4).to_string())).collect();
        let kept = tempfile::tempdir().unwrap();
        // The same without a disk says what should be there.
        let model = open_with(allowed(WasmPolicy::in_memory()));
        let mut opened = open(kept.path());
        for action in actions {
            let on = |it: &Opened| {
                let names = |at: usize| (&modules[at].announced.module, &modules[at].announced.version);
                match action {
                    Action::Push(at) => it.push(&modules[at]).map(drop),
                    Action::Switch(at) => it.store.switch(names(at).0, names(at).1),
                    Action::RollBack(at) => it.store.roll_back(names(at).0, names(at).1).map(drop),
                    Action::Remove(at) => it.store.remove(names(at).0, names(at).1),
                    Action::Restart => Ok(()),
                }
            };
            prop_assert_eq!(on(&opened), on(&model));
            if matches!(action, Action::Restart) {
                drop(opened);
                opened = open(kept.path());
            }
            prop_assert_eq!(opened.store.list(), model.store.list());
        }
    }
}
