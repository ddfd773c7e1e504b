//! The kernel's random pool: whether it is ready, and how saved randomness is given back to it.

use crate::{checked, said};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;

/// The most a caller can give in one piece, in bytes: the kernel's pool is 256 bits, 512 bytes are plenty.
pub const SEED_BYTES_MAX: usize = 512;

/// `_IOW('R', 0x03, int[2])` of linux/random.h.
const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;

/// `struct rand_pool_info` with room for the largest seed.
#[repr(C)]
struct PoolInfo {
    entropy_bits: libc::c_int,
    size_bytes: libc::c_int,
    buffer: [u8; SEED_BYTES_MAX],
}

/// Mixes `seed` into the pool and credits all of its bits. Needs CAP_SYS_ADMIN. The seed must never be used twice.
pub fn credit(seed: &[u8]) -> io::Result<()> {
    let seed = &seed[..seed.len().min(SEED_BYTES_MAX)];
    let length = libc::c_int::try_from(seed.len()).expect("at most SEED_BYTES_MAX");
    let mut info = PoolInfo { entropy_bits: length * 8, size_bytes: length, buffer: [0; SEED_BYTES_MAX] };
    info.buffer[..seed.len()].copy_from_slice(seed);
    let device = OpenOptions::new().write(true).open("/dev/urandom").map_err(|e| said("open /dev/urandom", e))?;
    // SAFETY: RNDADDENTROPY reads a rand_pool_info whose `size_bytes` says how much of `buffer` counts, and `length`
    // is at most the buffer; the struct outlives the call.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), RNDADDENTROPY as libc::Ioctl, &raw const info) };
    checked(result, "credit entropy").map(drop)
}

/// Random bytes if the pool is initialised, `None` if it is not yet (never waits).
pub fn ready_bytes(buffer: &mut [u8]) -> io::Result<Option<()>> {
    assert!(buffer.len() <= 256, "getrandom is atomic up to 256 bytes");
    // SAFETY: getrandom writes at most `buffer.len()` bytes to a buffer of that length that we hold mutably.
    let got = unsafe { libc::getrandom(buffer.as_mut_ptr().cast(), buffer.len(), libc::GRND_NONBLOCK) };
    if got >= 0 {
        return Ok(Some(()));
    }
    let cause = io::Error::last_os_error();
    if cause.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(said("getrandom", cause)) }
}
