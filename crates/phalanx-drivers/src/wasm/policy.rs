//! What a worker allows: whose modules, how much of everything, which host functions. Nothing unless it is said.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use phalanx_jobs::wire::PAYLOAD_BYTES_MAX;

use super::class::Announced;
use super::error::WasmError;
use super::names::{self, NAME_BYTES_MAX};
use super::signing::{SignerKey, unknown, verify};

/// How many keys a policy names: more are a sign that one should stand for many.
pub const SIGNERS_MAX: usize = 64;

/// The largest module that any limits allow, in bytes: it is in memory as a whole when it comes.
const MODULE_BYTES_CEILING: u64 = 64 << 20;
/// The most modules, and versions of each, that any limits allow: the list of all of them is one message.
const MODULES_CEILING: usize = 128;
const VERSIONS_CEILING: usize = 16;
/// The largest output, event and answer that any limits allow: one message, without what is around it.
const OUTPUT_CEILING: usize = PAYLOAD_BYTES_MAX - (4 << 10);

/// A group of host functions that a guest may import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// `log`: lines in the worker's own log.
    Log,
    /// `emit`: events of a task.
    Emit,
    /// `command_wait`, `command_read`, `command_reply`: commands to a task.
    Commands,
    /// `kv_read`, `kv_write`, `kv_delete`: small data of the module, which lives as long as the worker's process.
    Data,
}

/// How much of everything. What is above a ceiling counts as the ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WasmLimits {
    /// The largest module, in bytes of its source; at most 64 MiB.
    pub module_bytes_max: u64,
    /// How many modules there are; at most 128.
    pub modules_max: usize,
    /// How many versions each of them has; at most 16.
    pub versions_max: usize,
    /// How many bytes all sources have together; what they are compiled to is some times as large.
    pub sources_bytes_max: u64,
    /// How long compiling one may take. What takes longer is refused, and goes on beside until it has ended.
    pub compile_time: Duration,
    /// How many pushes there are at one time: each holds its module in memory.
    pub pushes_max: usize,
    /// How many calls run at one time: each has a thread.
    pub calls_max: usize,
    /// How many tasks run at one time: each has a thread, also while it waits for a command.
    pub tasks_max: usize,
    /// How much memory one guest has, in bytes.
    pub memory_bytes_max: usize,
    /// How many elements one of its tables has; there are at most four.
    pub table_elements_max: usize,
    /// How much it may do in one turn, about one for each instruction. A call is one turn; of a task, each wait for a
    /// command begins another one.
    pub fuel_max: u64,
    /// How long one turn may take.
    pub turn_time: Duration,
    /// How long a task may take as a whole, with all its waiting.
    pub task_time: Duration,
    /// The largest output, event and answer to a command, in bytes; at most a megabyte less 4 KiB.
    pub output_bytes_max: usize,
    /// How many events a task tells in a second.
    pub events_per_second_max: u32,
    /// How many lines a guest logs in a second; what is more is left out.
    pub log_lines_per_second_max: u32,
    /// How many bytes of keys and values a module keeps.
    pub data_bytes_max: usize,
    /// How many keys it keeps.
    pub data_keys_max: usize,
}

impl Default for WasmLimits {
    /// Small helpers: modules of 4 MiB and 64 MiB in all, 16 MiB of memory each, half a second a turn, an hour a task.
    fn default() -> Self {
        Self {
            module_bytes_max: 4 << 20,
            modules_max: 32,
            versions_max: 8,
            sources_bytes_max: 64 << 20,
            compile_time: Duration::from_secs(30),
            pushes_max: 2,
            calls_max: 8,
            tasks_max: 8,
            memory_bytes_max: 16 << 20,
            table_elements_max: 10_000,
            fuel_max: 1_000_000_000,
            turn_time: Duration::from_millis(500),
            task_time: Duration::from_secs(60 * 60),
            output_bytes_max: 256 << 10,
            events_per_second_max: 1_000,
            log_lines_per_second_max: 100,
            data_bytes_max: 256 << 10,
            data_keys_max: 256,
        }
    }
}

impl WasmLimits {
    fn within_ceilings(self) -> Self {
        Self {
            module_bytes_max: self.module_bytes_max.min(MODULE_BYTES_CEILING),
            modules_max: self.modules_max.min(MODULES_CEILING),
            versions_max: self.versions_max.min(VERSIONS_CEILING),
            output_bytes_max: self.output_bytes_max.min(OUTPUT_CEILING),
            ..self
        }
    }
}

/// Why a policy cannot be in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WasmPolicyError {
    /// No key is allowed, so that nothing could ever be pushed.
    #[error("the policy names no key: allow at least one signer")]
    NoSigner,
    /// There are more than [`SIGNERS_MAX`] keys.
    #[error("the policy names more than {SIGNERS_MAX} keys")]
    TooManySigners,
    /// The name of a signer is too long.
    #[error("the name {0:?} of a signer is longer than {NAME_BYTES_MAX} bytes")]
    SignerName(String),
    /// The folder cannot be used.
    #[error("the folder {path:?} for modules cannot be used: {text}")]
    Folder {
        /// Which one.
        path: PathBuf,
        /// The words of the operating system.
        text: String,
    },
    /// Another worker uses the folder.
    #[error("another worker uses the folder {path:?} for its modules: give each one of its own")]
    FolderInUse {
        /// Which one.
        path: PathBuf,
    },
    /// The compiler does not work on this machine.
    #[error("WebAssembly cannot be compiled on this machine: {0}")]
    Compiler(String),
}

/// What a worker allows. Begin with [`WasmPolicy::in_memory`] or [`WasmPolicy::kept_in`], which allow nothing.
#[derive(Debug, Clone)]
pub struct WasmPolicy {
    pub(super) folder: Option<PathBuf>,
    pub(super) limits: WasmLimits,
    pub(super) grants: BTreeSet<Grant>,
    signers: BTreeMap<SignerKey, String>,
}

impl WasmPolicy {
    /// Modules are forgotten with the worker's process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self {
            folder: None,
            limits: WasmLimits::default(),
            grants: BTreeSet::new(),
            signers: BTreeMap::new(),
        }
    }

    /// Modules are kept in this folder, which is made if it is not there and is for nothing else. At the next start they are
    /// verified and compiled again.
    #[must_use]
    pub fn kept_in(folder: impl Into<PathBuf>) -> Self {
        Self { folder: Some(folder.into()), ..Self::in_memory() }
    }

    /// Whoever has the private half of this key may push modules. The name stands in lists.
    #[must_use]
    pub fn allow_signer(mut self, name: &str, key: SignerKey) -> Self {
        self.signers.insert(key, name.to_owned());
        self
    }

    /// Guests may import these host functions.
    #[must_use]
    pub fn grant(mut self, grant: Grant) -> Self {
        self.grants.insert(grant);
        self
    }

    /// How much of everything; [`WasmLimits::default`] unless said otherwise.
    #[must_use]
    pub fn limits(mut self, limits: WasmLimits) -> Self {
        self.limits = limits.within_ceilings();
        self
    }

    /// Whether it can be in force.
    pub(super) fn check(&self) -> Result<(), WasmPolicyError> {
        match self.signers.values().find(|name| name.len() > NAME_BYTES_MAX) {
            Some(name) => Err(WasmPolicyError::SignerName(names::shown(name))),
            None if self.signers.is_empty() => Err(WasmPolicyError::NoSigner),
            None if self.signers.len() > SIGNERS_MAX => Err(WasmPolicyError::TooManySigners),
            None => Ok(()),
        }
    }

    /// Whether such a module may come, and who has signed it. Nothing of the module itself is needed for that.
    pub(super) fn admit(&self, announced: &Announced) -> Result<&str, WasmError> {
        let signature = announced.signature.as_ref().ok_or(WasmError::NotSigned)?;
        let signer = self.signers.get(&signature.key).ok_or_else(|| unknown(&signature.key))?;
        verify(announced, signature)?;
        names::check(&announced.module, &announced.version)?;
        let bytes_max = self.limits.module_bytes_max;
        if announced.bytes > bytes_max {
            return Err(WasmError::TooLarge { bytes: announced.bytes, bytes_max });
        }
        Ok(signer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::signing::{SignedModule, Signer};
    use super::*;

    #[test]
    fn nothing_is_admitted_but_what_a_known_key_has_signed() {
        let (known, unknown) = (Signer::from_seed(&[1; 32]), Signer::from_seed(&[2; 32]));
        let limits = WasmLimits { module_bytes_max: 8, ..WasmLimits::default() };
        let policy = WasmPolicy::in_memory().allow_signer("build", known.key()).limits(limits);
        let admit = |module: &SignedModule| policy.admit(&module.announced).map(str::to_owned);
        assert_eq!(admit(&known.sign("a", "1", "12345678").unwrap()), Ok("build".to_owned()));
        let unsigned = SignedModule::unsigned("a", "1", "1234").unwrap();
        assert_eq!(admit(&unsigned), Err(WasmError::NotSigned));
        let key = unknown.key().to_string();
        assert_eq!(admit(&unknown.sign("a", "1", "").unwrap()), Err(WasmError::UnknownKey { key }));
        let large = known.sign("a", "1", "123456789").unwrap();
        assert_eq!(admit(&large), Err(WasmError::TooLarge { bytes: 9, bytes_max: 8 }));
        // Another key's signature under a known key's name.
        let mut forged = unknown.sign("a", "1", "").unwrap();
        forged.announced.signature.as_mut().unwrap().key = known.key();
        assert_eq!(admit(&forged), Err(WasmError::BadSignature));
        assert!(matches!(known.sign("../a", "1", ""), Err(WasmError::Name { .. })));
    }

    #[test]
    fn a_policy_without_a_signer_is_refused() {
        assert_eq!(WasmPolicy::in_memory().check(), Err(WasmPolicyError::NoSigner));
        let key = Signer::from_seed(&[1; 32]).key();
        let long = WasmPolicy::in_memory().allow_signer(&"n".repeat(65), key);
        assert!(matches!(long.check(), Err(WasmPolicyError::SignerName(_))));
        let seeds = (0..=SIGNERS_MAX).map(|seed| Signer::from_seed(&[u8::try_from(seed).unwrap(); 32]).key());
        let many = seeds.fold(WasmPolicy::in_memory(), |policy, key| policy.allow_signer("", key));
        assert_eq!(many.check(), Err(WasmPolicyError::TooManySigners));
    }
}
