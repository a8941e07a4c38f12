//! The files of this node, which whoever runs the program may name as they like.

use std::path::Path;

use super::dir::Dir;
use super::error::{At, FilesError};
use super::manifest::Limits;
use super::path::RelativePath;
use super::server::panicked;
use super::source::Source;

/// Runs work that blocks on the threads that tokio has for it.
pub(super) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FilesError> + Send + 'static,
) -> Result<T, FilesError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| panicked())?
}

/// Opens what is to be sent.
pub(super) fn source(path: &Path) -> Result<Source, FilesError> {
    let said = path.to_string_lossy();
    // Links to it are followed; links in it are not.
    let path = path.canonicalize().at(&said)?;
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => {
            let name = RelativePath::parse(&name.to_string_lossy())?;
            Source::open(&Dir::open(folder).at(&said)?, &name, Limits::NONE)
        }
        _ => Source::open(&Dir::open(&path).at(&said)?, &RelativePath::default(), Limits::NONE),
    }
}

/// Opens the folder where something is to come, and says its name there.
pub(super) fn place(path: &Path) -> Result<(Dir, RelativePath), FilesError> {
    let said = path.to_string_lossy();
    let why = || FilesError::Path { path: said.clone().into_owned(), why: "it has no name".to_owned() };
    let name = RelativePath::parse(path.file_name().and_then(|name| name.to_str()).ok_or_else(why)?)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    Ok((Dir::open(folder).at(&folder.to_string_lossy())?, name))
}
