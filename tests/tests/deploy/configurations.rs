//! The configurations of agents, by themselves and inside of Kubernetes' ConfigMaps: checked by the program itself.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tests::program;

use crate::files::files;
use crate::manifests::documents;

/// Lets the program check a configuration, with a secret of the kind that its role has.
fn check(configuration: &Path) -> Output {
    let secret = Command::new(program()).args(["secret", "generate"]).output().unwrap();
    let secret = String::from_utf8(secret.stdout).unwrap();
    let mut command = Command::new(program());
    command.env_clear().env("PHALANX_SECRET", secret.trim()).args(["config", "check", "--config"]);
    command.arg(configuration).output().unwrap()
}

fn is_good(name: &str, configuration: &Path) {
    let output = check(configuration);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}");
    assert!(said.contains("is good"), "{name}: {said}");
}

#[test]
fn every_configuration_is_good() {
    for path in files("config", "toml") {
        is_good(&path.display().to_string(), &path);
    }
}

#[test]
fn every_configuration_in_a_config_map_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.toml");
    let mut checked = 0;
    for (at, document) in documents() {
        if document["kind"] != "ConfigMap" {
            continue;
        }
        for (key, text) in document["data"].as_object().unwrap() {
            fs::write(&path, text.as_str().unwrap()).unwrap();
            is_good(&format!("{at}: {key}"), &path);
            checked += 1;
        }
    }
    assert_eq!(checked, 2, "one for control nodes and one for workers");
}

#[test]
fn a_wrong_configuration_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.toml");
    for wrong in [
        "cluster = \"media\"\nlistn = \"0.0.0.0:7000\"",
        "cluster = \"media\"\ndiscover = [\"phalanx://;x=y\"]",
    ] {
        fs::write(&path, wrong).unwrap();
        assert_eq!(check(&path).status.code(), Some(2), "{wrong}");
    }
}
