//! The socket in the file system by which operators of the same machine reach a node.
//!
//! Who may open the file may operate the node: the file's mode is the guard, and the kernel keeps it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// Only the owner may go through the folder, and only the owner may open the socket.
const FOLDER_MODE: u32 = 0o700;
const SOCKET_MODE: u32 = 0o600;

/// Where the sockets of a system's services are, unless the user has a place of his own.
const SYSTEM_FOLDER: &str = "/run";

/// Why there is no socket. Whatever was at that path is still there.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another node listens there.
    #[error("{}: another node listens on this socket: stop it, or give this one another path", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// Something else is there.
    #[error("{}: there is something that is no socket: remove it, or give another path", path.display())]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{}: {error}: give a path that this user may write to", path.display())]
    System {
        /// The path.
        path: PathBuf,
        /// What it said.
        #[source]
        error: io::Error,
    },
}

/// Where the socket of a node is unless somebody says otherwise: `phalanx/NAME.sock` in `$XDG_RUNTIME_DIR`, or in `/run`
/// where that is not set. The name is the cluster's.
#[must_use]
pub fn default_socket(runtime_folder: Option<&Path>, name: &str) -> PathBuf {
    let folder = runtime_folder.unwrap_or(Path::new(SYSTEM_FOLDER));
    folder.join("phalanx").join(format!("{name}.sock"))
}

/// A listening socket, whose file is removed with it: only its owner may open it. Operators that connect wait until a
/// [`Server`](crate::Server) takes them in.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Listens at a path, whose folder is made if need be. The socket that a dead node has left there is replaced, that of
    /// one that lives is not. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`SocketError`]; whatever was at that path is still there.
    pub async fn bind(path: impl AsRef<Path>) -> Result<Self, SocketError> {
        let path = path.as_ref();
        let system = |error| SocketError::System { path: path.to_owned(), error };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(system)?;
        // Nodes that start at once go one by one: else one would take the new socket of another for that of a dead one.
        let turn = File::open(folder).map_err(system)?;
        turn.lock().map_err(system)?;
        make_room(path).await?;
        let listener = UnixListener::bind(path).map_err(system)?;
        let socket = Self { listener, path: path.to_owned() };
        fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE)).map_err(system)?;
        Ok(socket)
    }

    /// The next operator.
    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // What cannot be removed is replaced by the next node.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes the socket of a node that is dead.
async fn make_room(path: &Path) -> Result<(), SocketError> {
    let system = |error| SocketError::System { path: path.to_owned(), error };
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system(error)),
    };
    if !there.file_type().is_socket() {
        return Err(SocketError::NoSocket { path: path.to_owned() });
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(SocketError::InUse { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(system)
        }
        Err(error) => Err(system(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_path_is_the_users_or_the_systems() {
        let user = default_socket(Some(Path::new("/run/user/7")), "media");
        assert_eq!(user, Path::new("/run/user/7/phalanx/media.sock"));
        assert_eq!(default_socket(None, "media"), Path::new("/run/phalanx/media.sock"));
    }

    #[tokio::test]
    async fn only_the_owner_gets_in_and_the_file_goes_with_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/media.sock");
        let socket = Socket::bind(&path).await.unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_live_socket_stays_and_a_dead_one_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("media.sock");
        let live = Socket::bind(&path).await.unwrap();
        assert!(matches!(Socket::bind(&path).await, Err(SocketError::InUse { .. })));
        UnixStream::connect(&path).await.expect("the live one is still there");
        drop(live);

        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the standard library leaves the file, as a killed process does");
        Socket::bind(&path).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("media.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(Socket::bind(&path).await, Err(SocketError::NoSocket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
