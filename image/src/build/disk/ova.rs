//! A whole machine as one file: its description, its disk, and their sums, in a tar archive in this order. By DMTF's
//! "Open Virtualization Format" 1.0, the version that every hypervisor reads. The hardware is what VirtualBox gives to a
//! Linux machine of its own accord.

use super::{Format, LARGE, Parts, vmdk};
use crate::build::packages::fetch::sha256;
use crate::interrupt::Interrupt;
use anyhow::Result;
use std::fs::File;

/// The line of the table.
pub const FORMAT: Format = Format {
    name: "ova",
    about: "a machine for VirtualBox and VMware: File > Import Appliance",
    needs_live: false,
    write,
};

const DISK: &str = "skerry-disk1.vmdk";
const DESCRIPTION: &str = "skerry.ovf";
const SUMS: &str = "skerry.mf";
const MEMORY_MB: u32 = 2048;
const CPUS: u32 = 2;

fn write(parts: &Parts, file: &mut File, interrupt: &Interrupt) -> Result<()> {
    let mut disk = Vec::new();
    vmdk::write(parts, &mut disk, interrupt)?;
    let description = describe(parts, disk.len()).into_bytes();
    let sum = |name: &str, bytes: &[u8]| format!("SHA256({name})= {}\n", sha256(bytes));
    let sums = (sum(DESCRIPTION, &description) + &sum(DISK, &disk)).into_bytes();
    let mut archive = tar::Builder::new(file);
    for (name, bytes) in [(DESCRIPTION, &description), (DISK, &disk), (SUMS, &sums)] {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        archive.append_data(&mut header, name, bytes.as_slice())?;
    }
    archive.finish()?;
    Ok(())
}

/// One piece of hardware.
struct Item {
    id: u32,
    /// The number that the Common Information Model has for it.
    kind: u32,
    name: &'static str,
    /// Its other fields.
    more: &'static [(&'static str, &'static str)],
}

const HARDWARE: &[Item] = &[
    Item { id: 3, kind: 20, name: "SATA controller", more: &[("Address", "0"), ("ResourceSubType", "AHCI")] },
    Item {
        id: 4,
        kind: 17,
        name: "Disk",
        more: &[("AddressOnParent", "0"), ("HostResource", "/disk/vmdisk1"), ("Parent", "3")],
    },
    Item {
        id: 5,
        kind: 10,
        name: "Network card",
        more: &[("AutomaticAllocation", "true"), ("Connection", "NAT"), ("ResourceSubType", "E1000")],
    },
];

/// The description, with the places that change filled in.
fn describe(parts: &Parts, disk_bytes: usize) -> String {
    [
        ("@disk@", DISK.to_owned()),
        ("@disk_bytes@", disk_bytes.to_string()),
        ("@large@", LARGE.to_string()),
        ("@disk_id@", super::text(parts.id("vmdk"))),
        ("@version@", parts.version.clone()),
        ("@cpus@", CPUS.to_string()),
        ("@memory_mb@", MEMORY_MB.to_string()),
        ("@items@", HARDWARE.iter().map(item).collect()),
    ]
    .iter()
    .fold(include_str!("ova.ovf").to_owned(), |text, (place, value)| text.replace(place, value))
}

/// Fields in the order of their names, as the schema has them.
fn item(item: &Item) -> String {
    let mut fields = vec![
        ("Caption", item.name.to_owned()),
        ("ElementName", item.name.to_owned()),
        ("InstanceID", item.id.to_string()),
        ("ResourceType", item.kind.to_string()),
    ];
    fields.extend(item.more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    fields.sort_by_key(|(name, _)| *name);
    let lines: String =
        fields.iter().map(|(name, value)| format!("        <rasd:{name}>{value}</rasd:{name}>\n")).collect();
    format!("      <Item>\n{lines}      </Item>\n")
}
