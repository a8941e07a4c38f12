//! The commands about the images of a worker.

use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use clap::Args;
use futures_util::{Stream, stream};
use phalanx::NodeId;
use phalanx_drivers::docker::{ImageInfo, images, load, pull};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, stdin};

use super::list::{asked, created, short};
use crate::exit::Failure;
use crate::output::{Format, FormatArguments, Table, print, print_json, print_table};
use crate::size::Size;
use crate::target::Target;

/// How much of an archive is read at one time.
const READ_BYTES: usize = 256 << 10;

#[derive(Debug, Args)]
#[command(after_help = "Example: phalanx docker images camera-7")]
pub(super) struct Images {
    /// The worker
    node: NodeId,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Prints the id of the image. The worker's configuration has to allow it: drivers.docker.pull = true.
Example: phalanx docker pull camera-7 registry.example/team/app:3"
)]
pub(super) struct Pull {
    /// The worker
    node: NodeId,
    /// The image, by its reference
    image: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Prints the references of its images. The worker's configuration has to allow it, with \
drivers.docker.archive-bytes-max, and each name in the archive.
Example: docker save app:3 | phalanx docker load camera-7 -"
)]
pub(super) struct Load {
    /// The worker
    node: NodeId,
    /// The archive, as `docker save` writes it; - for the standard input
    file: PathBuf,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: FormatArguments,
}

impl Images {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let known = images(&asked(self.target.calls().await?.worker(&self.node))).await?;
        match self.format.output {
            Format::Json => print_json(&known.iter().map(form).collect()),
            Format::Table => print_table(&table(&known)),
        }
    }
}

fn form(image: &ImageInfo) -> Value {
    json!({
        "image": image.reference,
        "id": image.id,
        "bytes": image.bytes,
        "created": created(image.created_s),
    })
}

fn table(images: &[ImageInfo]) -> Table {
    let mut table = Table::new(&["IMAGE", "ID", "SIZE", "CREATED"]);
    for image in images {
        let size = Size(image.bytes).to_string();
        table.row([image.reference.clone(), short(&image.id), size, created(image.created_s)]);
    }
    table
}

impl Pull {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let worker = self.target.calls().await?.worker(&self.node);
        let id = pull(&worker, &self.image).await?;
        match self.format.output {
            Format::Json => print_json(&json!({"image": self.image, "id": id})),
            Format::Table => print(&format!("{id}\n")),
        }
    }
}

impl Load {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let archive: Box<dyn AsyncRead + Send + Unpin> = if self.file.as_os_str() == "-" {
            Box::new(stdin())
        } else {
            let file = tokio::fs::File::open(&self.file).await;
            Box::new(file.map_err(|error| Failure::usage(format!("{}: {error}", self.file.display())))?)
        };
        let worker = self.target.calls().await?.worker(&self.node);
        let loaded = load(&worker, chunks(archive)).await?;
        match self.format.output {
            Format::Json => print_json(&json!({"images": loaded})),
            Format::Table => print(&loaded.iter().map(|image| format!("{image}\n")).collect::<String>()),
        }
    }
}

/// What can be read, piece by piece.
fn chunks<R: AsyncRead + Send + Unpin>(archive: R) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    stream::try_unfold(archive, async |mut archive| {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        let length = archive.read_buf(&mut buffer).await?;
        Ok((length > 0).then(|| (buffer.freeze(), archive)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_listed() {
        let image = ImageInfo {
            reference: "docker.io/library/busybox:1".to_owned(),
            id: format!("sha256:{}", "0123456789abcdef".repeat(4)),
            bytes: 5 << 20,
            created_s: 1_700_000_000,
        };
        let images = [image];
        insta::assert_snapshot!(format!("{}\n{:#}", table(&images).render(false), form(&images[0])));
    }
}
