//! The units of systemd: by systemd's own judgement where it is installed, else by the names of sections and keys.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use tests::program;

use crate::files::files;

/// Where the units say that the program is.
const INSTALLED: &str = "/usr/local/bin/phalanx";

/// The keys that the units here use, each read up in systemd.unit(5), systemd.service(5), systemd.exec(5) and
/// systemd.kill(5).
const KEYS: &[(&str, &str)] = &[
    ("Unit", "Description Wants After"),
    (
        "Service",
        "Type NotifyAccess ExecStart TimeoutStartSec TimeoutStopSec KillMode Restart RestartSec RestartPreventExitStatus \
         LoadCredential Environment DynamicUser User StateDirectory StateDirectoryMode RuntimeDirectory \
         RuntimeDirectoryMode UMask RestrictAddressFamilies CapabilityBoundingSet NoNewPrivileges ProtectSystem \
         ProtectHome ProtectClock ProtectControlGroups ProtectHostname ProtectKernelLogs ProtectKernelModules \
         ProtectKernelTunables ProtectProc PrivateDevices PrivateTmp PrivateUsers LockPersonality \
         MemoryDenyWriteExecute RestrictNamespaces RestrictRealtime RestrictSUIDSGID SystemCallArchitectures \
         SystemCallFilter SystemCallErrorNumber LimitNOFILE",
    ),
    ("Install", "WantedBy"),
];

/// Sections, keys and values of a unit, in their order.
fn read(text: &str) -> Result<Vec<(String, String, String)>, String> {
    let (mut section, mut entries) = (String::new(), Vec::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((key, value)) = line.split_once('=') {
            entries.push((section.clone(), key.to_owned(), value.to_owned()));
        } else {
            return Err(format!("{line:?} is no section and no key"));
        }
    }
    Ok(entries)
}

fn unknown(text: &str) -> Result<Vec<String>, String> {
    let is_known = |section: &str, key: &str| {
        KEYS.iter().any(|(name, keys)| *name == section && keys.split_whitespace().any(|known| known == key))
    };
    let entries = read(text)?.into_iter();
    Ok(entries
        .filter(|(section, key, _)| !is_known(section, key))
        .map(|(section, key, _)| format!("[{section}] {key}"))
        .collect())
}

#[test]
fn every_key_of_a_unit_is_known() {
    for path in files("systemd", "service") {
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(unknown(&text).unwrap(), [""; 0], "{}", path.display());
    }
    assert_eq!(unknown("[Service]\nNotifyAcess=main\n").unwrap(), ["[Service] NotifyAcess"]);
    assert!(unknown("[Service]\nNotifyAccess\n").is_err());
}

/// What systemd says of a unit, with the program that was built instead of the one that would be installed.
fn verify(name: &str, text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text.replace(INSTALLED, program().to_str().unwrap())).unwrap();
    let output = Command::new("systemd-analyze").arg("verify").arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() || !said.is_empty() { said } else { format!("{}", output.status) }
}

#[test]
fn systemd_finds_nothing_wrong() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        // Where systemd is not installed the keys were checked above.
        return;
    }
    for path in files("systemd", "service") {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(verify(&name, &text), "", "{name}");
        let planted = verify(&name, &text.replace("NotifyAccess=main", "NotifyAcess=main"));
        assert!(planted.contains("NotifyAcess"), "a mistake is found: {planted}");
    }
}

#[test]
fn a_unit_tells_systemd_and_the_program_the_same() {
    for path in files("systemd", "service") {
        let entries = read(&fs::read_to_string(&path).unwrap()).unwrap();
        let value = |key: &str| {
            let found = entries.iter().find(|(_, name, _)| name == key);
            found.map(|(.., value)| value.as_str()).unwrap_or_default()
        };
        assert_eq!((value("Type"), value("NotifyAccess")), ("notify", "main"), "{}", path.display());
        let environment: BTreeSet<&str> = entries
            .iter()
            .filter(|(_, key, _)| key == "Environment")
            .map(|(.., value)| value.as_str())
            .collect();
        let data = format!("PHALANX_DATA_DIR=%S/{}", value("StateDirectory"));
        assert!(environment.contains(data.as_str()), "{environment:?}");
        let socket = format!("PHALANX_SOCKET=%t/{}/", value("RuntimeDirectory"));
        assert!(environment.iter().any(|variable| variable.starts_with(&socket)), "{environment:?}");
        let credential = value("LoadCredential").split(':').next().unwrap();
        assert!(
            environment.iter().any(|variable| variable.ends_with(&format!("=%d/{credential}"))),
            "{environment:?}"
        );
    }
}
