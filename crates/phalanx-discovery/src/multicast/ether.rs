//! The sockets: one for each interface and family of addresses, joined to its group.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::task::{Context, Poll};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tracing::debug;

use super::interfaces::{InterfaceError, Interfaces, Way};
use super::options::Options;
use super::packet::PACKET_BYTES_MAX;

/// Why there is no socket at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum EtherError {
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    #[error("no interface has an address of the group's family now: wait, or give an IPv4 and an IPv6 group")]
    NoGroup,
    #[error("cannot use the group {0} on {1}: {2}; choose another interface or port")]
    Socket(SocketAddr, String, #[source] io::Error),
    #[error("multicast needs a tokio runtime")]
    NoRuntime,
}

/// A socket, and where it sends to.
struct Line {
    way: Way,
    name: String,
    group: SocketAddr,
    socket: UdpSocket,
}

/// All sockets of one strategy.
pub(super) struct Ether {
    lines: Vec<Line>,
    /// Where to begin to look for the next packet, so that no interface drowns the others.
    turn: usize,
    buffer: Box<[u8]>,
}

impl Ether {
    pub(super) fn new() -> Self {
        // One byte more tells a packet that is too long from one that just fits.
        Self { lines: Vec::new(), turn: 0, buffer: vec![0; PACKET_BYTES_MAX + 1].into() }
    }

    /// Opens what is missing and closes what is not wanted any more, as interfaces come and go. The error is why there is
    /// not one socket; that some fail is for the log.
    pub(super) fn refresh(&mut self, options: &Options) -> Result<bool, EtherError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(EtherError::NoRuntime);
        }
        let interfaces = Interfaces::list()?;
        let wanted = interfaces.ways(&options.interfaces);
        let ways = wanted.inspect_err(|_| self.lines.clear())?;
        self.lines.retain(|line| ways.contains(&line.way));
        let mut failed = EtherError::NoGroup;
        let mut is_new = false;
        for way in ways {
            let Some(group) = options.groups.iter().copied().find(|group| group.is_ipv4() == way.is_v4())
            else {
                continue;
            };
            if self.lines.iter().any(|line| line.way == way) {
                continue;
            }
            let name = interfaces.name(way);
            match open(group, way, options) {
                Ok(socket) => {
                    debug!(%group, interface = %name, "multicast socket opened");
                    is_new = true;
                    self.lines.push(Line { way, name, group, socket });
                }
                Err(error) => {
                    debug!(%group, interface = %name, %error, "no multicast over this interface");
                    failed = EtherError::Socket(group, name, error);
                }
            }
        }
        if self.lines.is_empty() { Err(failed) } else { Ok(is_new) }
    }

    /// For people: groups and interfaces.
    pub(super) fn names(&self) -> String {
        let names = self.lines.iter().map(|line| format!("{} on {}", line.group, line.name));
        names.collect::<Vec<_>>().join(", ")
    }

    /// Sends a packet over every socket. What cannot be sent now is lost: it is sent again soon anyway. The error is why it
    /// went over none.
    pub(super) fn send(&self, packet: &[u8]) -> Result<(), EtherError> {
        let mut failed = EtherError::NoGroup;
        let mut is_sent = false;
        for line in &self.lines {
            match SockRef::from(&line.socket).send_to(packet, &line.group.into()) {
                Ok(_) => is_sent = true,
                Err(error) => {
                    debug!(group = %line.group, interface = %line.name, %error, "a multicast packet could not be sent");
                    failed = EtherError::Socket(line.group, line.name.clone(), error);
                }
            }
        }
        if is_sent { Ok(()) } else { Err(failed) }
    }

    /// The next packet, and the index of the interface over which it came. Never ends where there is no socket. Cancellation
    /// safe.
    pub(super) async fn receive(&mut self) -> (u32, &[u8]) {
        let Self { lines, turn, buffer } = self;
        let received = std::future::poll_fn(|context| poll_receive(lines, turn, buffer, context));
        let (index, length) = received.await;
        (index, &self.buffer[..length])
    }
}

fn poll_receive(
    lines: &mut Vec<Line>,
    turn: &mut usize,
    buffer: &mut [u8],
    context: &mut Context<'_>,
) -> Poll<(u32, usize)> {
    let mut at = 0;
    while at < lines.len() {
        let which = (*turn + at) % lines.len();
        let mut buffer = ReadBuf::new(buffer);
        match lines[which].socket.poll_recv_from(context, &mut buffer) {
            Poll::Pending => at += 1,
            Poll::Ready(Ok(_)) => {
                *turn = which + 1;
                return Poll::Ready((lines[which].way.index(), buffer.filled().len()));
            }
            Poll::Ready(Err(error)) => {
                // The interface may be gone; it is opened again if it is there at the next refresh.
                let line = lines.swap_remove(which);
                debug!(group = %line.group, interface = %line.name, %error, "multicast socket closed");
                at = 0;
            }
        }
    }
    Poll::Pending
}

/// Opens a socket for a group over an interface. With address reuse, so that several nodes of one machine hear the group.
fn open(group: SocketAddr, way: Way, options: &Options) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    match group.ip() {
        IpAddr::V4(ip) => set_up_v4(&socket, ip, group.port(), way, options)?,
        IpAddr::V6(ip) => set_up_v6(&socket, ip, group.port(), way.index(), options)?,
    }
    UdpSocket::from_std(socket.into())
}

fn set_up_v4(socket: &Socket, group: Ipv4Addr, port: u16, way: Way, options: &Options) -> io::Result<()> {
    let interface = match way {
        Way::V4At(ip) => {
            socket.set_multicast_if_v4(&ip)?;
            InterfaceIndexOrAddress::Address(ip)
        }
        way => {
            let any = Ipv4Addr::UNSPECIFIED;
            rustix::net::sockopt::set_ip_multicast_if_with_ifindex(socket, &any, &any, way.index())?;
            InterfaceIndexOrAddress::Index(way.index())
        }
    };
    socket.set_multicast_ttl_v4(options.hops_max.into())?;
    socket.set_multicast_loop_v4(options.loops)?;
    if options.mode.listens() {
        // Only what comes over the interface that this very socket joined; by default Linux gives it all of the group. Where
        // that cannot be had, packets come more than once, which costs little.
        let _ = socket.set_multicast_all_v4(false);
        socket.bind(&SocketAddrV4::new(group, port).into())?;
        socket.join_multicast_v4_n(&group, &interface)?;
    }
    Ok(())
}

fn set_up_v6(socket: &Socket, group: Ipv6Addr, port: u16, index: u32, options: &Options) -> io::Result<()> {
    socket.set_only_v6(true)?;
    socket.set_multicast_if_v6(index)?;
    socket.set_multicast_hops_v6(options.hops_max.into())?;
    socket.set_multicast_loop_v6(options.loops)?;
    if options.mode.listens() {
        let _ = socket.set_multicast_all_v6(false);
        socket.bind(&SocketAddrV6::new(group, port, 0, index).into())?;
        socket.join_multicast_v6(&group, index)?;
    }
    Ok(())
}
