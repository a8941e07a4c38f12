//! The configuration of an agent: a file, the environment and flags, in one list of keys.

mod drivers;
mod flags;
mod key;
mod layers;
mod settings;

use std::env;
use std::fmt;
use std::path::PathBuf;

#[cfg(any(feature = "files", feature = "docker"))]
pub(crate) use drivers::Access;
#[cfg(feature = "docker")]
pub(crate) use drivers::Docker as DockerSettings;
#[cfg(feature = "files")]
pub(crate) use drivers::Files as FilesSettings;
#[cfg(feature = "kv")]
pub(crate) use drivers::Kv as KvSettings;
#[cfg(feature = "process")]
pub(crate) use drivers::Process as ProcessSettings;
#[cfg(feature = "wasm")]
pub(crate) use drivers::{Grant, Wasm as WasmSettings};
pub(crate) use flags::ConfigArguments;
pub(crate) use key::{KEYS, nearest};
pub(crate) use layers::Layers;
pub(crate) use settings::{Preset, Settings};

use crate::exit::Failure;

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    place: String,
    words: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.words)
    }
}

/// Where this user's sockets are, if the system has such a place.
pub(crate) fn runtime_folder() -> Option<PathBuf> {
    env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

impl ConfigArguments {
    /// Reads all layers.
    pub(crate) fn layers(&self) -> Result<Layers, Failure> {
        let mut layers = Layers::defaults();
        if let Some(path) = &self.config {
            layers.read_file(path).map_err(|mistakes| failure(&mistakes))?;
        }
        layers.read_environment(|name| env::var(name).ok());
        self.flags.put_over(&mut layers);
        Ok(layers)
    }

    /// Reads all layers, and checks them.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        Settings::read(&self.layers()?, runtime_folder().as_deref()).map_err(|mistakes| failure(&mistakes))
    }
}

fn failure(mistakes: &[Mistake]) -> Failure {
    let lines: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
    Failure::usage(lines.join("\n"))
}

/// Variables of the environment that are most likely a key with a typing error in it. Not an error: others give names to
/// variables too.
pub(crate) fn likely_mistakes(variables: impl Iterator<Item = String>) -> Vec<String> {
    let known: Vec<String> = KEYS.iter().map(key::Key::variable).collect();
    let ours = |name: &String| name.starts_with("PHALANX_") && !known.contains(name);
    let mut found = Vec::new();
    for name in
        variables.filter(ours).filter(|name| !matches!(name.as_str(), "PHALANX_SECRET" | "PHALANX_CONFIG"))
    {
        if let Some(nearest) = key::nearest(&name, known.iter().map(String::as_str))
            && key::distance(&name, nearest) <= 2
        {
            found.push(format!("the environment has {name}, which nobody reads: did you mean {nearest}?"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_in_the_environment_are_told() {
        let names = ["PHALANX_CLUSTR", "PHALANX_SECRET", "PHALANX_SERVICE_HOST", "PATH", "PHALANX_NODE"];
        let found = likely_mistakes(names.map(str::to_owned).into_iter());
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("PHALANX_CLUSTER"), "{}", found[0]);
    }
}
