//! Sockets that std cannot open: netlink listeners, and UDP bound to one network interface.

use crate::said;
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, SockaddrIn, bind, setsockopt, socket, sockopt,
};
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

/// Which family of netlink messages a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Netlink {
    /// Device events of the kernel.
    Uevent,
    /// Generic netlink: ACPI events among others.
    Generic,
}

/// A non-blocking netlink socket that hears the multicast groups in the bit mask `groups`.
pub fn netlink(family: Netlink, groups: u32) -> io::Result<OwnedFd> {
    let protocol = match family {
        Netlink::Uevent => SockProtocol::NetlinkKObjectUEvent,
        Netlink::Generic => SockProtocol::NetlinkGeneric,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)
        .map_err(|e| said(format_args!("open a netlink socket ({family:?})"), e))?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups)).map_err(|e| said("bind a netlink socket", e))?;
    Ok(fd)
}

/// SOL_NETLINK's option to join one multicast group by number.
pub fn join_netlink_group(socket: &OwnedFd, group: u32) -> io::Result<()> {
    let length = u32::try_from(size_of::<u32>()).expect("four");
    // SAFETY: NETLINK_ADD_MEMBERSHIP reads one u32 of the given length through a pointer to a live u32.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            libc::NETLINK_ADD_MEMBERSHIP,
            (&raw const group).cast(),
            length,
        )
    };
    crate::checked(result, format_args!("join netlink group {group}")).map(drop)
}

/// A non-blocking UDP socket on `port` that sends and hears broadcasts on the interface `link` only, also while the
/// interface has no address.
pub fn broadcast_udp(link: &str, port: u16) -> io::Result<UdpSocket> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Inet, SockType::Datagram, flags, None).map_err(|e| said("open a UDP socket", e))?;
    let tuned = || -> nix::Result<()> {
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        setsockopt(&fd, sockopt::Broadcast, &true)?;
        setsockopt(&fd, sockopt::BindToDevice, &OsString::from(link))?;
        bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)))
    };
    tuned().map_err(|e| said(format_args!("bind UDP port {port} on {link}"), e))?;
    Ok(UdpSocket::from(fd))
}
