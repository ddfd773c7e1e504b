//! VMware's format in its compressed form for transport, which is also what an OVA holds. By VMware's "Virtual Disk
//! Format 5.0": stream-optimised, each piece with a marker before it, the tables behind what they describe.

use super::drive::Drive;
use super::{Format, LARGE, Parts};
use crate::interrupt::Interrupt;
use anyhow::Result;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::Write;

/// The line of the table.
pub const FORMAT: Format = Format {
    name: "vmdk",
    about: "a compressed disk for VMware and VirtualBox",
    needs_live: false,
    write: |parts, file, interrupt| write(parts, file, interrupt),
};

const SECTOR: usize = 512;
/// A piece that is packed by itself, bytes.
const GRAIN: usize = 64 << 10;
const GRAIN_SECTORS: u64 = (GRAIN / SECTOR) as u64;
/// Grains of a table.
const TABLE_GRAINS: u64 = 512;
/// Sectors before the first grain: header and description.
const OVERHEAD: u64 = 128;
const DESCRIPTION_SECTORS: u64 = 20;
/// "The tables lie at the end: see the second header".
const AT_END: u64 = u64::MAX;
/// Newlines are checked, grains are packed, markers are there.
const FLAGS: u32 = 0x3_0001;
const LEVEL: Compression = Compression::new(6);

/// What a marker announces.
#[derive(Clone, Copy)]
enum Marker {
    End = 0,
    Table = 1,
    Directory = 2,
    Footer = 3,
}

/// Writes the disk in this format.
///
/// # Errors
/// When the other side does not take it.
pub fn write(parts: &Parts, out: &mut dyn Write, interrupt: &Interrupt) -> Result<()> {
    let drive = parts.drive(LARGE, interrupt)?;
    stream(&drive, parts.id("vmdk"), out, interrupt)
}

fn stream(drive: &Drive, id: u128, out: &mut dyn Write, interrupt: &Interrupt) -> Result<()> {
    let capacity = drive.size / SECTOR as u64;
    let mut out = Sectors { out, at: 0 };
    out.put(&header(capacity, AT_END))?;
    let mut text = description(capacity, id).into_bytes();
    text.resize(DESCRIPTION_SECTORS as usize * SECTOR, 0);
    out.put(&text)?;
    out.put(&vec![0; (OVERHEAD - out.at) as usize * SECTOR])?;

    let tables = capacity.div_ceil(GRAIN_SECTORS * TABLE_GRAINS);
    let mut directory = vec![0_u32; tables as usize];
    let mut table = vec![0_u32; TABLE_GRAINS as usize];
    let mut current = 0;
    for (number, grain) in drive.blocks(GRAIN) {
        interrupt.check()?;
        if number / TABLE_GRAINS != current {
            directory[current as usize] = out.table(&mut table)?;
            current = number / TABLE_GRAINS;
        }
        table[(number % TABLE_GRAINS) as usize] = out.at as u32;
        let mut encoder = ZlibEncoder::new(Vec::new(), LEVEL);
        encoder.write_all(&grain)?;
        let packed = encoder.finish()?;
        let mut piece = (number * GRAIN_SECTORS).to_le_bytes().to_vec();
        piece.extend((packed.len() as u32).to_le_bytes());
        piece.extend(packed);
        out.put(&piece)?;
    }
    directory[current as usize] = out.table(&mut table)?;
    let bytes: Vec<u8> = directory.iter().flat_map(|place| place.to_le_bytes()).collect();
    out.marker(Marker::Directory, bytes.len().div_ceil(SECTOR))?;
    let directory_at = out.at;
    out.put(&bytes)?;
    out.marker(Marker::Footer, 1)?;
    out.put(&header(capacity, directory_at))?;
    out.marker(Marker::End, 0)
}

/// Whole sectors, counted.
struct Sectors<'a> {
    out: &'a mut dyn Write,
    at: u64,
}

impl Sectors<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let length = bytes.len().next_multiple_of(SECTOR);
        self.out.write_all(bytes)?;
        self.out.write_all(&vec![0; length - bytes.len()])?;
        self.at += (length / SECTOR) as u64;
        Ok(())
    }

    fn marker(&mut self, kind: Marker, sectors: usize) -> Result<()> {
        let mut bytes = (sectors as u64).to_le_bytes().to_vec();
        bytes.extend([0; 4]);
        bytes.extend((kind as u32).to_le_bytes());
        self.put(&bytes)
    }

    /// Writes a table, empties it for the next one, and gives its place; none when nothing is in it.
    fn table(&mut self, table: &mut [u32]) -> Result<u32> {
        if table.iter().all(|place| *place == 0) {
            return Ok(0);
        }
        self.marker(Marker::Table, table.len() * 4 / SECTOR)?;
        let place = self.at as u32;
        self.put(&table.iter().flat_map(|place| place.to_le_bytes()).collect::<Vec<u8>>())?;
        table.fill(0);
        Ok(place)
    }
}

fn header(capacity: u64, directory_at: u64) -> Vec<u8> {
    let mut bytes = b"KDMV".to_vec();
    let mut put = |value: &[u8]| bytes.extend_from_slice(value);
    put(&3_u32.to_le_bytes());
    put(&FLAGS.to_le_bytes());
    for value in [capacity, GRAIN_SECTORS, 1, DESCRIPTION_SECTORS] {
        put(&value.to_le_bytes());
    }
    put(&(TABLE_GRAINS as u32).to_le_bytes());
    for value in [0, directory_at, OVERHEAD] {
        put(&value.to_le_bytes());
    }
    // Shut down cleanly; line ends, by which a transfer as text would show; packed by deflate.
    put(b"\0\n \r\n");
    put(&1_u16.to_le_bytes());
    bytes.resize(SECTOR, 0);
    bytes
}

/// The geometry is what BIOSes show of any large disk.
fn description(capacity: u64, id: u128) -> String {
    format!(
        "# Disk DescriptorFile\nversion=1\nCID={:08x}\nparentCID=ffffffff\ncreateType=\"streamOptimized\"\n\n\
         # Extent description\nRDONLY {capacity} SPARSE \"skerry.vmdk\"\n\n\
         # The disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"4\"\nddb.adapterType = \"ide\"\n\
         ddb.geometry.cylinders = \"16383\"\nddb.geometry.heads = \"16\"\nddb.geometry.sectors = \"63\"\n\
         ddb.uuid.image = \"{}\"\n",
        id as u32,
        super::text(id)
    )
}
