//! The error queue of a UDP socket on Linux (`IP_RECVERR`, see `ip(7)`): the only way to learn, on a socket that talks
//! to everybody, for *which* destination a host has answered that nobody listens there.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::libc::{SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6, sock_extended_err};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};

/// Room for what comes beside an error: the error itself, from whom it came, and what quinn asks for with each datagram
/// (addresses, marks). Together about 160 bytes on a socket for both families.
const CONTROL_BYTES: usize = 512;

/// Asks the system to keep what it is told about datagrams of this socket.
pub(super) fn enable(socket: &UdpSocket) -> io::Result<()> {
    if socket.local_addr()?.is_ipv6() {
        setsockopt(socket, sockopt::Ipv6RecvErr, &true)?;
    }
    // Also on a socket for both families: this one is about its IPv4 datagrams.
    Ok(setsockopt(socket, sockopt::Ipv4RecvErr, &true)?)
}

/// Takes one error off the queue: the destination where nobody listens, `None` where the error says something else.
///
/// # Errors
/// `WouldBlock` when the queue is empty.
pub(super) fn read(socket: &impl AsFd) -> io::Result<Option<SocketAddr>> {
    // The datagram itself comes back too; it is of no interest.
    let mut nothing = [0; 0];
    let mut buffers = [IoSliceMut::new(&mut nothing)];
    let mut control = nix::cmsg_space!([u8; CONTROL_BYTES]);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let fd = socket.as_fd().as_raw_fd();
    let message = recvmsg::<SockaddrStorage>(fd, &mut buffers, Some(&mut control), flags)?;
    // Cut short, it cannot be understood: an error of no known kind.
    let Ok(mut controls) = message.cmsgs() else { return Ok(None) };
    let is_refusal = controls.any(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => {
            is_port_unreachable(&error)
        }
        _ => false,
    });
    Ok(message.address.filter(|_| is_refusal).and_then(|address| destination(&address)))
}

/// Whether an error is one of those that ICMP messages turn into, which anybody can forge: with the error queue enabled the
/// system also fails the next call with each. A socket must outlive every one of them.
pub(super) fn is_from_network(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(
            Errno::ECONNREFUSED
                | Errno::EHOSTUNREACH
                | Errno::ENETUNREACH
                | Errno::EHOSTDOWN
                | Errno::ENONET
                | Errno::ENOPROTOOPT
                | Errno::EOPNOTSUPP
                | Errno::EPROTO
                | Errno::EACCES
                | Errno::EMSGSIZE
        )
    )
}

/// Only a peer's host says this, and only of a port. What a router says of a host or a network may pass.
fn is_port_unreachable(error: &sock_extended_err) -> bool {
    let from_network = matches!(error.ee_origin, SO_EE_ORIGIN_ICMP | SO_EE_ORIGIN_ICMP6);
    from_network && error.ee_errno == Errno::ECONNREFUSED as u32
}

fn destination(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddrV4::from(*v4).into());
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into()))
}
