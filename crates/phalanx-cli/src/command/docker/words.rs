//! Parts of a container as people write them, on the command line and in a job's file.

use std::str::FromStr;

use phalanx_drivers::docker::{Mount, MountSource, Port, Protocol, Pull};

use crate::size::Size;

/// A port to publish: `8080:80`, `53:53/udp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PortWord(pub(crate) Port);

impl FromStr for PortWord {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (ports, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((ports, "tcp")) => (ports, Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some(_) => return Err("no port: behind the / is tcp or udp"),
        };
        let wrong = "no port: write HOST:CONTAINER, such as 8080:80 or 53:53/udp";
        let (host, container) = ports.split_once(':').ok_or(wrong)?;
        let port = |text: &str| text.parse().ok().filter(|port| *port != 0).ok_or(wrong);
        Ok(Self(Port { container_port: port(container)?, host_port: port(host)?, protocol }))
    }
}

/// Something to mount: `/srv/data:/data`, `volume:/data:ro`, `memory=64MiB:/tmp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountWord(pub(crate) Mount);

impl FromStr for MountWord {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "no mount: write SOURCE:TARGET, and :ro behind it where it is only read; the source is a path, the name of a \
                     volume, or memory=SIZE";
        let mut parts = text.split(':');
        let (source, target) = (parts.next().ok_or(wrong)?, parts.next().ok_or(wrong)?);
        let read_only = match (parts.next(), parts.next()) {
            (None, _) => false,
            (Some("ro"), None) => true,
            _ => return Err(wrong),
        };
        let source = match source.strip_prefix("memory=") {
            Some(size) => MountSource::Memory(size.parse::<Size>().map_err(|_| wrong)?.0),
            None if source.starts_with('/') => MountSource::Host(source.to_owned()),
            None if !source.is_empty() => MountSource::Volume(source.to_owned()),
            None => return Err(wrong),
        };
        let target = target.starts_with('/').then(|| target.to_owned()).ok_or(wrong)?;
        Ok(Self(Mount { source, target, read_only }))
    }
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PullWord(pub(crate) Pull);

impl FromStr for PullWord {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "never" => Ok(Self(Pull::Never)),
            "missing" => Ok(Self(Pull::IfNotPresent)),
            "always" => Ok(Self(Pull::Always)),
            _ => Err("it is never, missing or always"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_mounts_are_read() {
        let port = |text: &str| text.parse::<PortWord>().map(|word| word.0);
        let dns = Port { container_port: 53, host_port: 5353, protocol: Protocol::Udp };
        assert_eq!(port("5353:53/udp"), Ok(dns));
        assert_eq!(port("5353:53/tcp"), port("5353:53"));
        for wrong in ["80", "0:80", "80:0", "80:x", "80:80/sctp", "70000:80", "1:2:3"] {
            assert!(port(wrong).is_err(), "{wrong}");
        }
        let mount = |text: &str| text.parse::<MountWord>().map(|word| word.0);
        for (text, source, read_only) in [
            ("/srv:/data", MountSource::Host("/srv".to_owned()), false),
            ("data:/data:ro", MountSource::Volume("data".to_owned()), true),
            ("memory=64KiB:/data", MountSource::Memory(64 << 10), false),
        ] {
            assert_eq!(mount(text), Ok(Mount { source, target: "/data".to_owned(), read_only }), "{text}");
        }
        for wrong in ["/srv", ":/data", "/srv:data", "/srv:/data:rw", "/srv:/data:ro:ro", "memory=x:/tmp"] {
            assert!(mount(wrong).is_err(), "{wrong}");
        }
        assert_eq!("missing".parse(), Ok(PullWord(Pull::IfNotPresent)));
        assert!("sometimes".parse::<PullWord>().is_err());
    }
}
