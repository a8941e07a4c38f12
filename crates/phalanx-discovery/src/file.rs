//! A list in a file.
//!
//! The file is read anew at each look-up, so that whoever writes it (a person, a configuration tool) needs nobody's
//! leave. A file that is half-written or wrong is an error, after which the caller keeps what it knew.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::watched::{Stamp, Watched};
use crate::{
    Attempt, Candidates, Discover, DiscoverContext, DiscoverError, DynDiscover, PeersError, Refresh,
    StaticPeers, StrategyAddress, StrategyError,
};

/// How often [`Discover::changed`] looks at the file: soon enough for who has just saved it.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Control nodes at addresses that stand in a file, which may change at any time.
///
/// Addresses are separated by line ends, white space or commas; what follows a `#` up to the end of its line is a comment.
/// Names are looked up at each try. At most [`PeersFile::BYTES_MAX`] bytes and [`StaticPeers::PEERS_MAX`] addresses.
///
/// The file is looked at each second ([`Discover::changed`]: modification time, length and inode, so that editors that
/// replace it are noticed too), and read at each look-up, by default every 5 s. Where it is missing, too long, no text, or
/// where one address is wrong, the look-up fails and says so, and the caller keeps what it knew. Replace the file by
/// renaming another one, so that nobody reads half of it.
///
/// As text: `phalanx:///etc/phalanx/peers;discover=file`, with `refresh=` (default `5s`).
///
/// ```
/// use phalanx_discovery::{PeersFile, Refresh};
///
/// let peers = PeersFile::new("/etc/phalanx/peers").refresh(Refresh::Once);
/// ```
#[derive(Debug)]
pub struct PeersFile {
    file: Watched,
    refresh: Refresh,
    /// What was read last, so that a name that goes on failing is not logged as if it had just begun to.
    last: Mutex<Option<Known>>,
}

/// A text that was read, and its peers.
#[derive(Debug, Clone)]
struct Known {
    text: Arc<str>,
    peers: Arc<StaticPeers>,
}

/// Why the file gave no peers.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("there is no file {0}: write one, an address on each line")]
    Missing(PathBuf),
    #[error("{0} is not a file: give the path of one")]
    NotAFile(PathBuf),
    #[error("cannot read {0}: {1}; check that this user may")]
    Unreadable(PathBuf, #[source] io::Error),
    #[error("{0} is longer than {max} bytes: is it the right file?", max = PeersFile::BYTES_MAX)]
    TooLong(PathBuf),
    #[error("{0} is not a text in UTF-8: is it the right file?")]
    NotText(PathBuf),
    #[error("{0}: {1}")]
    Peers(PathBuf, #[source] PeersError),
}

impl PeersFile {
    /// The greatest length of the file, in bytes: 128 bytes for each of 512 addresses.
    pub const BYTES_MAX: u64 = 64 * 1_024;

    /// The list at this path. The file is not looked at before the first look-up.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { file: Watched::new(path.into()), refresh: Refresh::default(), last: Mutex::new(None) }
    }

    /// How often to read it while the cluster is not formed.
    #[must_use]
    pub fn refresh(self, refresh: Refresh) -> Self {
        Self { refresh, ..self }
    }

    /// The peers that stand in the file now.
    async fn peers(&self) -> Result<Arc<StaticPeers>, DiscoverError> {
        let path = self.file.path().to_owned();
        let read = tokio::task::spawn_blocking(move || (Stamp::of(&path), read(&path)));
        let (stamp, text) = read.await.map_err(DiscoverError::other)?;
        self.file.note(stamp);
        self.parse(&text.map_err(DiscoverError::other)?).map_err(DiscoverError::other)
    }

    fn parse(&self, text: &str) -> Result<Arc<StaticPeers>, FileError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = last.as_ref().filter(|known| *known.text == *text) {
            return Ok(known.peers.clone());
        }
        let wrong = |error| FileError::Peers(self.file.path().to_owned(), error);
        let peers = Arc::new(StaticPeers::parse(&without_comments(text)).map_err(wrong)?);
        *last = Some(Known { text: text.into(), peers: peers.clone() });
        Ok(peers)
    }
}

/// Reads the whole file, which may be anything.
fn read(path: &Path) -> Result<String, FileError> {
    let owned = || path.to_owned();
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => FileError::Missing(owned()),
        _ => FileError::Unreadable(owned(), error),
    };
    // Opening a pipe would wait for somebody who writes.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(FileError::NotAFile(owned()));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    // One byte more than the cap tells that there are too many, however long the file is.
    file.take(PeersFile::BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > PeersFile::BYTES_MAX {
        return Err(FileError::TooLong(owned()));
    }
    String::from_utf8(bytes).map_err(|_| FileError::NotText(owned()))
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

impl Discover for PeersFile {
    async fn find(&self, context: &DiscoverContext) -> Result<Candidates, DiscoverError> {
        let peers = self.peers().await;
        context.tried(|| Attempt {
            kind: "file",
            name: self.file.path().display().to_string(),
            outcome: match &peers {
                Ok(peers) => Ok(peers.addresses().map(ToString::to_string).collect()),
                Err(error) => Err(error.to_string()),
            },
        });
        peers?.find(context).await
    }

    async fn changed(&self, _: &DiscoverContext) {
        self.file.changed(LOOK_PAUSE).await;
    }

    fn refresh(&self) -> Refresh {
        self.refresh
    }
}

/// The strategy of an address.
pub(crate) fn from_address(address: &mut StrategyAddress) -> Result<DynDiscover, StrategyError> {
    let path = match (address.hosts(), address.path()) {
        ([], Some(path)) if path.len() > 1 => path.to_owned(),
        _ => {
            return Err(
                address.wrong("a file has a path and no host: phalanx:///etc/phalanx/peers;discover=file")
            );
        }
    };
    let refresh = address.take_refresh()?;
    Ok(DynDiscover::new(PeersFile::new(path).refresh(refresh)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn comments_and_separators_are_read() {
        let file = PeersFile::new("peers");
        let text = "# ours\n10.0.0.1, a:5 # the first two\r\n\n[::1]:9;transport=quic\n#10.0.0.9\n";
        let peers = file.parse(text).unwrap();
        let addresses: Vec<_> = peers.addresses().map(ToString::to_string).collect();
        assert_eq!(addresses, ["phalanx://10.0.0.1", "phalanx://a:5", "phalanx://[::1]:9;transport=quic"]);
        assert!(Arc::ptr_eq(&peers, &file.parse(text).unwrap()));
        assert_eq!(file.parse("# nobody yet").unwrap().addresses().len(), 0);
        assert!(file.parse("10.0.0.1\n10.0.0").unwrap_err().to_string().contains("peers: peer 2"));
    }

    #[test]
    fn its_address_is_a_path() {
        for wrong in [
            "phalanx://;discover=file",
            "phalanx:///;discover=file",
            "phalanx://etc/peers;discover=file",
            "phalanx:///p;discover=file;x=y",
        ] {
            assert!(wrong.parse::<StrategyAddress>().unwrap().strategy().is_err(), "{wrong}");
        }
        let address: StrategyAddress = "phalanx:///etc/peers;discover=file;refresh=2m".parse().unwrap();
        assert_eq!(Discover::refresh(&address.strategy().unwrap()).to_string(), "120s");
    }

    proptest! {
        #[test]
        fn any_text_is_peers_or_an_error(text in "\\PC{0,60}|([a-z0-9.:]{0,9}[,# \n]){0,9}") {
            let _ = PeersFile::new("peers").parse(&text);
        }
    }
}
