//! Lets the partition of the state take what was added to its disk, as `gpt` decides. A disk that cannot be changed is
//! used as it is.

use super::find::{self, Device};
use super::gpt::{self, Growth};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The device after its partition has grown, if it is one and there was room; `say` tells what was done.
pub fn partition(device: Device, say: impl Fn(&str)) -> Device {
    if device.partition.is_empty() || !device.writable {
        return device;
    }
    match grown(&device) {
        Ok(None) => device,
        Ok(Some(larger)) => {
            let (from, to) = (device.size_bytes >> 20, larger.size_bytes >> 20);
            say(&format!("init: {} took what was added to its disk: {from} MiB became {to} MiB", device.path));
            larger
        }
        Err(e) => {
            say(&format!("init: {} stays as large as it is: {e}", device.path));
            device
        }
    }
}

fn grown(device: &Device) -> io::Result<Option<Device>> {
    let name = device.path.trim_start_matches("/dev/");
    let Some(disk) = parent(name) else { return Ok(None) };
    let disk_path = Path::new("/dev").join(&disk);
    let sectors = sectors(&disk)?;
    let mut file = OpenOptions::new().read(true).write(true).open(&disk_path)?;
    let mut head = vec![0; gpt::HEAD_BYTES];
    file.read_exact(&mut head)?;
    let Some(growth) = gpt::growth(&head, sectors, &device.partition) else { return Ok(None) };
    write(&mut file, &growth)?;
    sys::device::resize_partition(&disk_path, growth.number, growth.start, growth.length)?;
    Ok(find::device(name))
}

/// The disk that a partition is on, by their folders in sysfs.
fn parent(partition: &str) -> Option<String> {
    let folder: PathBuf = std::fs::canonicalize(Path::new("/sys/class/block").join(partition)).ok()?;
    folder.parent()?.file_name()?.to_str().map(str::to_owned)
}

/// In sectors of 512 bytes whatever the device's own are.
fn sectors(disk: &str) -> io::Result<u64> {
    let text = std::fs::read_to_string(Path::new("/sys/class/block").join(disk).join("size"))?;
    text.trim().parse().map_err(io::Error::other)
}

fn write(file: &mut File, growth: &Growth) -> io::Result<()> {
    for (place, bytes) in &growth.writes {
        file.seek(SeekFrom::Start(*place))?;
        file.write_all(bytes)?;
        file.sync_all()?;
    }
    Ok(())
}
