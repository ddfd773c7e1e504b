//! A whole machine as one file: its description, its disk, and their sums, in a tar archive in this order. By DMTF's
//! "Open Virtualization Format" 1.0, the version that every hypervisor reads. The hardware is what VirtualBox gives to a
//! Linux machine of its own accord.

use super::{Format, LARGE, Parts, vmdk};
use crate::build::packages::fetch::hexadecimal;
use crate::interrupt::Interrupt;
use anyhow::Result;
use ring::digest::{SHA256, digest};
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
    let sum = |name: &str, bytes: &[u8]| format!("SHA256({name})= {}\n", hexadecimal(digest(&SHA256, bytes).as_ref()));
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

fn describe(parts: &Parts, disk_bytes: usize) -> String {
    let version = &parts.version;
    let items: String = HARDWARE.iter().map(item).collect();
    let disk_id = super::text(parts.id("vmdk"));
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope ovf:version="1.0" xml:lang="en-US" xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:vbox="http://www.virtualbox.org/ovf/machine">
  <References>
    <File ovf:id="file1" ovf:href="{DISK}" ovf:size="{disk_bytes}"/>
  </References>
  <DiskSection>
    <Info>The disk: system, and room for what the cluster keeps</Info>
    <Disk ovf:diskId="vmdisk1" ovf:capacity="{LARGE}" ovf:fileRef="file1" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized" vbox:uuid="{disk_id}"/>
  </DiskSection>
  <NetworkSection>
    <Info>Network address translation is enough; forward a port of the host to port 6443</Info>
    <Network ovf:name="NAT">
      <Description>The network of the host</Description>
    </Network>
  </NetworkSection>
  <VirtualSystem ovf:id="skerry">
    <Info>A Kubernetes cluster of one machine</Info>
    <ProductSection>
      <Info>What is inside</Info>
      <Product>Skerry</Product>
      <Version>{version}</Version>
      <FullVersion>{version}</FullVersion>
    </ProductSection>
    <AnnotationSection>
      <Info>What to do next</Info>
      <Annotation>Forward a port of 127.0.0.1 to port 6443 of this machine. Its screen shows how to get a kubeconfig.</Annotation>
    </AnnotationSection>
    <OperatingSystemSection ovf:id="101">
      <Info>Linux, 64 bits</Info>
      <Description>Linux_64</Description>
      <vbox:OSType ovf:required="false">Linux_64</vbox:OSType>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>What the machine needs</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>skerry</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>virtualbox-2.2</vssd:VirtualSystemType>
      </System>
      <Item>
        <rasd:Caption>{CPUS} processors</rasd:Caption>
        <rasd:ElementName>{CPUS} processors</rasd:ElementName>
        <rasd:InstanceID>1</rasd:InstanceID>
        <rasd:ResourceType>3</rasd:ResourceType>
        <rasd:VirtualQuantity>{CPUS}</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:AllocationUnits>MegaBytes</rasd:AllocationUnits>
        <rasd:Caption>{MEMORY_MB} MB of memory</rasd:Caption>
        <rasd:ElementName>{MEMORY_MB} MB of memory</rasd:ElementName>
        <rasd:InstanceID>2</rasd:InstanceID>
        <rasd:ResourceType>4</rasd:ResourceType>
        <rasd:VirtualQuantity>{MEMORY_MB}</rasd:VirtualQuantity>
      </Item>
{items}    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"#
    )
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
