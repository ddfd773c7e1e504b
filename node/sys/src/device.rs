//! Questions and orders to device files by ioctl.

use crate::{checked, said};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// `_IOR(0x12, 114, size_t)` of linux/fs.h.
const BLKGETSIZE64: libc::c_ulong = 0x8008_1272;

/// The size of a block device in bytes (BLKGETSIZE64), or of a regular file.
pub fn size_bytes(path: &Path) -> io::Result<u64> {
    let file = File::open(path).map_err(|e| said(format_args!("open {}", path.display()), e))?;
    let about = file.metadata()?;
    if about.is_file() {
        return Ok(about.len());
    }
    let mut size: u64 = 0;
    // SAFETY: BLKGETSIZE64 writes one u64 through the pointer, and `size` is a live u64; the descriptor is open.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), BLKGETSIZE64 as libc::Ioctl, &raw mut size) };
    checked(result, format_args!("ask the size of {}", path.display()))?;
    Ok(size)
}

/// The fields of `struct rtc_time` (linux/rtc.h) that carry a date; the kernel ignores the other three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtcTime {
    /// Seconds, 0 to 59.
    pub second: i32,
    /// Minutes, 0 to 59.
    pub minute: i32,
    /// Hours, 0 to 23.
    pub hour: i32,
    /// Day of the month, 1 to 31.
    pub day: i32,
    /// Month, 0 to 11.
    pub month: i32,
    /// Years since 1900.
    pub year: i32,
}

/// `_IOR('p', 0x09, struct rtc_time)`: 36 bytes are read.
const RTC_RD_TIME: libc::c_ulong = 0x8024_7009;

/// Reads a real-time clock such as `/dev/rtc0`.
pub fn rtc_time(path: &Path) -> io::Result<RtcTime> {
    let file = File::open(path).map_err(|e| said(format_args!("open {}", path.display()), e))?;
    let mut raw = [0_i32; 9];
    // SAFETY: RTC_RD_TIME writes a `struct rtc_time`, nine ints in a row, and `raw` is exactly that long and aligned.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), RTC_RD_TIME as libc::Ioctl, raw.as_mut_ptr()) };
    checked(result, format_args!("read the clock {}", path.display()))?;
    let [second, minute, hour, day, month, year, ..] = raw;
    Ok(RtcTime { second, minute, hour, day, month, year })
}

/// `_IO(0x12, 105)` of linux/blkpg.h.
const BLKPG: libc::c_ulong = 0x1269;
const BLKPG_RESIZE_PARTITION: libc::c_int = 3;

/// `struct blkpg_partition` of linux/blkpg.h; lengths in bytes.
#[repr(C)]
struct Partition {
    start: libc::c_longlong,
    length: libc::c_longlong,
    number: libc::c_int,
    names: [u8; 128],
}

/// `struct blkpg_ioctl_arg`.
#[repr(C)]
struct Request {
    operation: libc::c_int,
    flags: libc::c_int,
    length: libc::c_int,
    data: *mut Partition,
}

/// Tells the kernel that a partition of `disk` has become longer, also while others of its partitions are in use.
/// `start` and `length` are in bytes.
pub fn resize_partition(disk: &Path, number: u32, start: u64, length: u64) -> io::Result<()> {
    let file = File::open(disk).map_err(|e| said(format_args!("open {}", disk.display()), e))?;
    let signed = |value: u64| libc::c_longlong::try_from(value).map_err(io::Error::other);
    let mut partition = Partition {
        start: signed(start)?,
        length: signed(length)?,
        number: libc::c_int::try_from(number).map_err(io::Error::other)?,
        names: [0; 128],
    };
    let request = Request {
        operation: BLKPG_RESIZE_PARTITION,
        flags: 0,
        length: size_of::<Partition>() as libc::c_int,
        data: &raw mut partition,
    };
    // SAFETY: BLKPG reads one `struct blkpg_ioctl_arg`, which `request` is laid out as, and through its pointer one
    // `struct blkpg_partition`, which `partition` is; both live until the call returns.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), BLKPG as libc::Ioctl, &raw const request) };
    checked(result, format_args!("resize partition {number} of {}", disk.display()))?;
    Ok(())
}
