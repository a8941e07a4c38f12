//! What may be done with the Docker daemon of a node's machine.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::super::settings::Reader;
use super::{AbsolutePath, Access};
use crate::size::Size;

/// Containers.
#[derive(Debug)]
#[cfg_attr(not(feature = "docker"), allow(dead_code, reason = "nobody reads the settings"))]
pub(crate) struct Docker {
    pub(crate) socket: PathBuf,
    pub(crate) images: Vec<String>,
    pub(crate) pull: bool,
    pub(crate) archive_bytes_max: Option<u64>,
    pub(crate) memory_bytes_max: Option<u64>,
    pub(crate) cpu_percent_max: Option<u32>,
    pub(crate) processes_max: u32,
    pub(crate) networks: Vec<String>,
    pub(crate) ports: Option<Ports>,
    pub(crate) folders: Vec<(PathBuf, Access)>,
    pub(crate) volumes: Vec<(String, Access)>,
    pub(crate) exec: bool,
    pub(crate) privileged: bool,
    pub(crate) kept_max: u32,
    pub(crate) containers_max: u32,
    pub(crate) log_bytes_max: u64,
    pub(crate) daemon_away_max: Duration,
    pub(crate) reports_orphans: bool,
}

/// Ports of the machine that containers may publish, and at which of its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(not(feature = "docker"), allow(dead_code, reason = "nobody reads the settings"))]
pub(crate) struct Ports {
    pub(crate) address: IpAddr,
    pub(crate) ports: RangeInclusive<u16>,
}

impl FromStr for Ports {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "no ports: write IP:FIRST-LAST, such as 127.0.0.1:8000-8999";
        let (address, ports) = text.rsplit_once(':').ok_or(wrong)?;
        let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0).ok_or(wrong);
        let ports = port(first)?..=port(last)?;
        if ports.is_empty() {
            return Err(wrong);
        }
        Ok(Self { address: address.parse().map_err(|_| wrong)?, ports })
    }
}

/// What becomes of containers of an earlier start.
struct Orphans(bool);

impl FromStr for Orphans {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "remove" => Ok(Self(false)),
            "report" => Ok(Self(true)),
            _ => Err("it is remove or report"),
        }
    }
}

/// What the layers say of containers; nothing without an image.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Docker> {
    let size = |reader: &mut Reader<'_>, name| reader.one::<Size>(name).map(|size| size.0);
    let docker = Docker {
        socket: reader.must("drivers.docker.socket", AbsolutePath(PathBuf::new())).0,
        images: reader.all("drivers.docker.images"),
        pull: reader.must("drivers.docker.pull", false),
        archive_bytes_max: size(reader, "drivers.docker.archive-bytes-max"),
        memory_bytes_max: size(reader, "drivers.docker.memory-max"),
        cpu_percent_max: reader.one("drivers.docker.cpu-percent-max"),
        processes_max: reader.must("drivers.docker.processes-max", 0),
        networks: reader.all("drivers.docker.networks"),
        ports: reader.one("drivers.docker.ports"),
        folders: folders(reader),
        volumes: volumes(reader),
        exec: reader.must("drivers.docker.exec", false),
        privileged: reader.must("drivers.docker.privileged", false),
        kept_max: reader.must("drivers.docker.kept-max", 0),
        containers_max: reader.must("drivers.docker.containers-max", 0),
        log_bytes_max: size(reader, "drivers.docker.log-bytes-max").unwrap_or_default(),
        daemon_away_max: reader.duration("drivers.docker.daemon-away-max"),
        reports_orphans: reader.must("drivers.docker.orphans", Orphans(false)).0,
    };
    if docker.images.is_empty() {
        return None;
    }
    // Else its next start would not know the containers of this one.
    if reader.layers.given("node").is_none() {
        let words = "containers are allowed, and bear the name of their node: give node";
        reader.mistake("drivers.docker.images", words.to_owned());
    }
    Some(docker)
}

fn folders(reader: &mut Reader<'_>) -> Vec<(PathBuf, Access)> {
    let read = reader.all::<AbsolutePath>("drivers.docker.read").into_iter();
    let read = read.map(|path| (path.0, Access::Read)).collect::<Vec<_>>();
    let written = reader.all::<AbsolutePath>("drivers.docker.read-write").into_iter();
    read.into_iter().chain(written.map(|path| (path.0, Access::ReadWrite))).collect()
}

fn volumes(reader: &mut Reader<'_>) -> Vec<(String, Access)> {
    let read = reader.all::<String>("drivers.docker.volumes-read").into_iter();
    let read = read.map(|volume| (volume, Access::Read)).collect::<Vec<_>>();
    let written = reader.all::<String>("drivers.docker.volumes-read-write").into_iter();
    read.into_iter().chain(written.map(|volume| (volume, Access::ReadWrite))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_have_an_address_and_a_range() {
        let ports = |text: &str| text.parse::<Ports>().map(|ports| (ports.address.to_string(), ports.ports));
        assert_eq!(ports("127.0.0.1:8000-8999"), Ok(("127.0.0.1".to_owned(), 8_000..=8_999)));
        assert_eq!(ports("[::1]:80"), Ok(("::1".to_owned(), 80..=80)));
        for wrong in ["80", "127.0.0.1", "127.0.0.1:9-8", "127.0.0.1:0", "host:80", "127.0.0.1:80-"] {
            assert!(ports(wrong).is_err(), "{wrong}");
        }
    }
}
