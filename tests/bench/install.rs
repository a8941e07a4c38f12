//! The peers that are programs of others: Debian's packages, installed where this may be done.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The programs, and the packages that bring them.
const PROGRAMS: &[(&str, &str)] = &[("nats-server", "nats-server"), ("erl", "erlang-base")];

/// Where programs are that are not in everybody's path.
const FOLDERS: &[&str] = &["/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin", "/bin", "/sbin"];

/// Where a program is.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists())
}

/// Installs what is missing, where this is root on a machine with apt. What is missing after that is a row's to say.
pub(crate) fn install() {
    let packages: Vec<&str> =
        PROGRAMS.iter().filter(|(name, _)| program(name).is_none()).map(|(_, package)| *package).collect();
    let id = Command::new("id").arg("-u").output();
    let is_root = id.is_ok_and(|id| id.stdout.trim_ascii() == b"0");
    if packages.is_empty() || !is_root || program("apt-get").is_none() {
        return;
    }
    eprintln!("bench: installs {}", packages.join(" "));
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(arguments).args(["--yes", "--quiet", "--no-install-recommends"]);
        // The bench starts its servers itself.
        apt.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
        apt.stdin(Stdio::null()).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    // Lists of packages may be old or absent: they are fetched only where that is so.
    let arguments = [&["install"], &packages[..]].concat();
    let installed = apt(&arguments) || (apt(&["update"]) && apt(&arguments));
    eprintln!("bench: {}", if installed { "installed" } else { "not installed: their rows will say so" });
}
