//! The kernel's announcements that devices came or went. They say when to look, not what there is.

use std::io;
use std::os::fd::OwnedFd;
use tokio::io::unix::AsyncFd;

/// The kernel's own announcements, as against udev's.
const KERNEL_GROUP: u32 = 1;

/// A listener.
pub struct Events {
    socket: AsyncFd<OwnedFd>,
}

impl Events {
    /// Starts to listen.
    pub fn listen() -> io::Result<Events> {
        Ok(Events { socket: sys::watch::readable(sys::socket::netlink(sys::socket::Netlink::Uevent, KERNEL_GROUP)?)? })
    }

    /// Returns after something has been announced. Losing announcements to a full buffer counts as one.
    pub async fn next(&mut self) -> io::Result<()> {
        let mut piece = [0; 4096];
        loop {
            let mut ready = self.socket.readable().await?;
            let read = ready.try_io(|socket| Ok(nix::unistd::read(socket.get_ref(), &mut piece)?));
            match read {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(e)) if e.raw_os_error() == Some(nix::errno::Errno::ENOBUFS as i32) => return Ok(()),
                Ok(Err(e)) => return Err(e),
                Err(_would_block) => {}
            }
        }
    }
}
