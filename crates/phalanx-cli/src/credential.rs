//! Secrets come from a file or from the environment, never from a flag, which everybody on the machine can read.

use std::env;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use phalanx::{Credential, Role, Secret, WorkerCredential};
use zeroize::Zeroizing;

use crate::config::Settings;
use crate::exit::Failure;

/// The variable that may hold the cluster's secret.
pub(crate) const VARIABLE: &str = "PHALANX_SECRET";

/// The longest text that is looked at: some hundred letters.
const TEXT_BYTES_MAX: u64 = 4_096;

/// Others than the owner and its group may read, write or run it.
const OTHERS: u32 = 0o007;
/// The group may read it.
const GROUP: u32 = 0o040;

/// The text of a secret, and a word of warning.
pub(crate) struct SecretText {
    text: Zeroizing<String>,
    from: String,
    pub(crate) warning: Option<String>,
}

impl SecretText {
    /// The first line of a file that only its owner may read, and its group at most.
    pub(crate) fn from_file(path: &Path) -> Result<Self, Failure> {
        let from = path.display().to_string();
        let wrong = |words: String| Failure::usage(format!("{from}: {words}"));
        let mut file = File::open(path).map_err(|error| wrong(error.to_string()))?;
        let mode = file.metadata().map_err(|error| wrong(error.to_string()))?.permissions().mode();
        if mode & OTHERS != 0 {
            return Err(wrong(
                "everybody on this machine may read this secret: chmod 600 it, and change the secret"
                    .to_owned(),
            ));
        }
        let warning =
            (mode & GROUP != 0).then(|| format!("{from}: the group of this file may read the secret"));
        let text = read(&mut file).map_err(wrong)?;
        Ok(Self { text, from, warning })
    }

    /// The first line of the standard input.
    pub(crate) fn from_stdin() -> Result<Self, Failure> {
        let from = "standard input".to_owned();
        let text =
            read(&mut std::io::stdin().lock()).map_err(|words| Failure::usage(format!("{from}: {words}")))?;
        Ok(Self { text, from, warning: None })
    }

    fn from_environment() -> Option<Self> {
        let text = Zeroizing::new(env::var(VARIABLE).ok().filter(|text| !text.is_empty())?);
        Some(Self { text, from: format!("environment: {VARIABLE}"), warning: None })
    }

    /// Taken for the seed of a key that signs.
    #[cfg(feature = "wasm")]
    pub(crate) fn seed(&self) -> Result<Zeroizing<[u8; 32]>, Failure> {
        let text = self.text.trim().as_bytes();
        let digit = |letter: u8| char::from(letter).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let mut seed = Zeroizing::new([0; 32]);
        let pairs = text.chunks_exact(2).zip(seed.iter_mut());
        let is_read = pairs
            .map(|(pair, byte)| Some((byte, (digit(pair[0])? << 4) | digit(pair[1])?)))
            .all(|read| read.map(|(byte, value)| *byte = value).is_some());
        match is_read && text.len() == 64 {
            true => Ok(seed),
            false => Err(Failure::usage(format!(
                "{}: no seed of a key; `phalanx class keygen` makes one",
                self.from
            ))),
        }
    }

    /// Taken for the cluster's secret.
    pub(crate) fn secret(&self) -> Result<Secret, Failure> {
        let error = match self.text.trim().parse() {
            Ok(secret) => return Ok(secret),
            Err(error) => error,
        };
        Err(Failure::usage(format!("{}: {error}; `phalanx secret generate` makes one", self.from)))
    }

    fn worker_credential(&self) -> Result<WorkerCredential, Failure> {
        self.text.trim().parse().map_err(|error| Failure::usage(format!("{}: {error}", self.from)))
    }
}

fn read(source: &mut impl Read) -> Result<Zeroizing<String>, String> {
    let mut text = Zeroizing::new(String::new());
    source.take(TEXT_BYTES_MAX).read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(text)
}

/// Where the cluster's secret comes from: a flag wins over the environment, which wins over a file's name.
pub(crate) fn secret_text(file: Option<&Path>, is_flag: bool) -> Result<Option<SecretText>, Failure> {
    let of_file = || file.map(SecretText::from_file).transpose();
    if is_flag {
        return of_file();
    }
    match SecretText::from_environment() {
        Some(text) => Ok(Some(text)),
        None => of_file(),
    }
}

/// What the node of these settings proves itself with, and a word of warning.
pub(crate) fn load(settings: &Settings) -> Result<(Credential, Option<String>), Failure> {
    if let (Role::Worker, Some(path)) = (settings.role, &settings.worker_credential_file) {
        let text = SecretText::from_file(path)?;
        return Ok((Credential::from(text.worker_credential()?), text.warning));
    }
    let Some(text) = secret_text(settings.secret_file.as_deref(), settings.secret_file_is_flag)? else {
        let or_worker = match settings.role {
            Role::Worker => ", or worker-credential-file",
            _ => "",
        };
        return Err(Failure::usage(format!(
            "the cluster's secret is not given: set {VARIABLE} or secret-file{or_worker}; \
             `phalanx secret generate` makes one"
        )));
    };
    Ok((Credential::from(text.secret()?), text.warning))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(mode: u32, text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn a_file_that_everybody_may_read_is_refused_and_a_groups_is_told() {
        let secret = Secret::generate(&phalanx::SystemEntropy::new());
        let (_folder, path) = file(0o600, &format!("{}\n", secret.expose()));
        let text = SecretText::from_file(&path).unwrap();
        assert_eq!(text.secret().unwrap().expose(), secret.expose());
        assert_eq!(text.warning, None);

        let (_folder, path) = file(0o640, &secret.expose());
        assert!(SecretText::from_file(&path).unwrap().warning.is_some());
        let (_folder, path) = file(0o644, &secret.expose());
        let refused = SecretText::from_file(&path).err().unwrap().to_string();
        assert!(refused.contains("chmod 600") && !refused.contains(&secret.expose()), "{refused}");
    }

    #[test]
    fn what_is_no_secret_is_named_and_not_quoted() {
        let (_folder, path) = file(0o600, "hunter2hunter2");
        let text = SecretText::from_file(&path).unwrap();
        let error = text.secret().err().unwrap().to_string();
        assert!(error.contains("phalanx secret generate") && !error.contains("hunter2"), "{error}");
        assert!(text.worker_credential().is_err());
    }
}
