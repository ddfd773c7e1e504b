//! Which block device is which: what the kernel lists, joined with what is on it. The choice is pure; only `scan`
//! and `contents_of` touch the machine.

use super::contents::{Contents, HEAD_BYTES, TAIL_BYTES, tell};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// The most block devices looked at; a virtual machine has a handful.
const DEVICES_MAX: usize = 64;

/// One block device or partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its path, such as `/dev/vda`.
    pub path: String,
    /// The serial number that the hypervisor gave it.
    pub serial: String,
    /// Its name in a GPT.
    pub partition: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Whether it can be written.
    pub writable: bool,
    /// What is on it.
    pub contents: Contents,
}

/// A volume to mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its device.
    pub device: String,
    /// Its file system.
    pub kind: &'static str,
}

/// Everything that the kernel lists as a block device and that has a size.
pub fn scan() -> io::Result<Vec<Device>> {
    let mut names: Vec<String> = std::fs::read_dir("/sys/class/block")?
        .take(DEVICES_MAX)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !["loop", "ram", "zram", "dm-", "nbd", "fd"].iter().any(|kind| name.starts_with(kind)))
        .collect();
    names.sort();
    Ok(names.iter().filter_map(|name| device(name)).collect())
}

/// One of them by its name, such as `sda4`; `None` for an empty drive.
pub fn device(name: &str) -> Option<Device> {
    let folder = Path::new("/sys/class/block").join(name);
    let attribute = |path: &str| std::fs::read_to_string(folder.join(path)).map(|t| t.trim().to_owned());
    let uevent = attribute("uevent").unwrap_or_default();
    let partition = uevent.lines().find_map(|line| line.strip_prefix("PARTNAME=")).unwrap_or_default().to_owned();
    // Sizes in sysfs are in sectors of 512 bytes whatever the device's own are.
    let size_bytes = attribute("size").ok()?.parse::<u64>().ok()? * 512;
    let path = format!("/dev/{name}");
    let contents = contents_of(Path::new(&path), size_bytes).ok()?;
    Some(Device {
        serial: attribute("serial").or_else(|_| attribute("device/serial")).unwrap_or_default(),
        writable: attribute("ro").is_ok_and(|ro| ro == "0"),
        path,
        partition,
        size_bytes,
        contents,
    })
    .filter(|device| device.size_bytes > 0)
}

/// Looks at both ends of a device.
pub fn contents_of(path: &Path, size_bytes: u64) -> io::Result<Contents> {
    let mut file = File::open(path)?;
    let mut head = Vec::new();
    (&mut file).take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    let mut tail = Vec::new();
    if size_bytes > TAIL_BYTES as u64 {
        file.seek(SeekFrom::Start(size_bytes - TAIL_BYTES as u64))?;
        file.take(TAIL_BYTES as u64).read_to_end(&mut tail)?;
    }
    Ok(tell(&head, &tail))
}

/// The volume with `label` that holds FAT or ISO 9660; two of them are an error.
pub fn volume_labelled(label: &str) -> io::Result<Option<Volume>> {
    choose_volume(&scan()?, label).map_err(io::Error::other)
}

fn choose_volume(devices: &[Device], label: &str) -> Result<Option<Volume>, String> {
    let mut found = devices.iter().filter_map(|device| match &device.contents {
        Contents::Volume(kind, own) if own == label => Some(Volume { device: device.path.clone(), kind }),
        _ => None,
    });
    match (found.next(), found.next()) {
        (Some(a), Some(b)) => {
            Err(format!("{} and {} both carry the label {label}; neither is used", a.device, b.device))
        }
        (first, _) => Ok(first),
    }
}

/// The device that holds or shall hold the state: by the label of its file system, else by its serial number, else
/// by its partition's name, else (for an emulator that names nothing) the only disk that carries state or is blank.
/// `Ok(None)` when there is none, the error names rivals.
pub fn choose_state<'a>(devices: &'a [Device], name: &str) -> Result<Option<&'a Device>, String> {
    let labelled = |d: &&Device| matches!(&d.contents, Contents::Ext4(ext4) if ext4.label == name);
    let ways: [&dyn Fn(&&Device) -> bool; 4] =
        [&labelled, &|device| device.serial == name, &|device| device.partition == name, &|device| {
            device.contents == Contents::Blank && device.writable && device.partition.is_empty()
        }];
    for way in ways {
        let found: Vec<&Device> = devices.iter().filter(way).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(Some(one)),
            many => {
                let paths: Vec<&str> = many.iter().map(|device| device.path.as_str()).collect();
                return Err(format!("{} could each be the state disk {name}", paths.join(" and ")));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::contents::Ext4;

    fn device(path: &str, serial: &str, partition: &str, contents: Contents) -> Device {
        Device {
            path: path.into(),
            serial: serial.into(),
            partition: partition.into(),
            size_bytes: 1 << 30,
            writable: true,
            contents,
        }
    }

    fn ext4(label: &str) -> Contents {
        Contents::Ext4(Ext4 { label: label.into(), size_bytes: 1 << 30, clean: true })
    }

    fn chosen(devices: &[Device]) -> Result<Option<&str>, String> {
        choose_state(devices, "state").map(|found| found.map(|device| device.path.as_str()))
    }

    #[test]
    fn the_label_goes_before_the_serial_number_and_that_before_the_partition() {
        let root = device("/dev/vda", "", "", Contents::Foreign("an EROFS file system"));
        let serial = device("/dev/vdb", "state", "", Contents::Blank);
        let part = device("/dev/vdc3", "", "state", Contents::Blank);
        let label = device("/dev/vdd", "", "", ext4("state"));
        let all = [root.clone(), serial, part, label];
        assert_eq!(chosen(&all), Ok(Some("/dev/vdd")));
        assert_eq!(chosen(&all[..3]), Ok(Some("/dev/vdb")));
        assert_eq!(chosen(&[root.clone(), all[2].clone()]), Ok(Some("/dev/vdc3")));
        assert_eq!(chosen(&[root]), Ok(None));
    }

    #[test]
    fn two_disks_with_the_same_claim_are_an_error_that_names_them() {
        let two = [device("/dev/vdb", "", "", ext4("state")), device("/dev/vdc", "", "", ext4("state"))];
        let problem = chosen(&two).unwrap_err();
        assert!(problem.contains("/dev/vdb and /dev/vdc"), "{problem}");
    }

    #[test]
    fn a_nameless_blank_disk_is_taken_only_when_it_is_the_only_one() {
        let blank = |path| device(path, "", "", Contents::Blank);
        assert_eq!(chosen(&[blank("/dev/sda")]), Ok(Some("/dev/sda")));
        assert!(chosen(&[blank("/dev/sda"), blank("/dev/sdb")]).is_err());
        let foreign = device("/dev/sdb", "", "", ext4("somebody's"));
        assert_eq!(chosen(&[foreign]), Ok(None));
    }

    #[test]
    fn a_config_volume_is_found_by_its_label() {
        let volume = |path, label: &str| device(path, "", "", Contents::Volume("vfat", label.into()));
        let found = choose_volume(&[volume("/dev/vdb1", "OTHER"), volume("/dev/vdc1", "SKERRY")], "SKERRY");
        assert_eq!(found, Ok(Some(Volume { device: "/dev/vdc1".into(), kind: "vfat" })));
        assert!(choose_volume(&[volume("/dev/vdb1", "SKERRY"), volume("/dev/vdc1", "SKERRY")], "SKERRY").is_err());
    }
}
