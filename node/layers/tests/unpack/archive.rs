//! Writes archives member by member, so that they can be as odd as a test needs.

/// A member of an archive.
#[derive(Clone)]
pub struct Item {
    pub kind: u8,
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    pub mode: u32,
    pub owner: (u64, u64),
    pub modified: u64,
    pub device: (u32, u32),
    pub data: Vec<u8>,
    /// Records of a PAX header before it.
    pub pax: Vec<(&'static str, Vec<u8>)>,
}

impl Item {
    fn new(kind: u8, name: &str, mode: u32) -> Item {
        let name = name.as_bytes().to_vec();
        let (link, data, pax) = (Vec::new(), Vec::new(), Vec::new());
        Item { kind, name, link, mode, owner: (0, 0), modified: 1_000_000_000, device: (0, 0), data, pax }
    }

    pub fn owned(mut self, user: u64, group: u64) -> Item {
        self.owner = (user, group);
        self
    }

    pub fn mode(mut self, mode: u32) -> Item {
        self.mode = mode;
        self
    }

    pub fn pax(mut self, key: &'static str, value: impl AsRef<[u8]>) -> Item {
        self.pax.push((key, value.as_ref().to_vec()));
        self
    }
}

pub fn file(name: &str, data: &str) -> Item {
    Item { data: data.as_bytes().to_vec(), ..Item::new(b'0', name, 0o644) }
}

pub fn folder(name: &str) -> Item {
    Item::new(b'5', name, 0o755)
}

pub fn symlink(name: &str, target: &str) -> Item {
    Item { link: target.as_bytes().to_vec(), ..Item::new(b'2', name, 0o777) }
}

pub fn hardlink(name: &str, target: &str) -> Item {
    Item { link: target.as_bytes().to_vec(), ..Item::new(b'1', name, 0o644) }
}

pub fn device(kind: u8, name: &str, device: (u32, u32)) -> Item {
    Item { device, ..Item::new(kind, name, 0o600) }
}

pub fn other(kind: u8, name: &str) -> Item {
    Item::new(kind, name, 0o644)
}

/// An archive with its end mark.
pub fn layer(items: &[Item]) -> Vec<u8> {
    let mut bytes = open_layer(items);
    bytes.extend([0; 1024]);
    bytes
}

/// An archive without its end mark.
pub fn open_layer(items: &[Item]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for item in items {
        if !item.pax.is_empty() {
            let records = item.pax.iter().flat_map(|(key, value)| record(key, value)).collect();
            append(&mut bytes, &Item { data: records, ..Item::new(b'x', "pax", 0o644) });
        }
        append(&mut bytes, item);
    }
    bytes
}

fn append(bytes: &mut Vec<u8>, item: &Item) {
    let mut header = tar::Header::new_ustar();
    let old = header.as_old_mut();
    old.name[..item.name.len()].copy_from_slice(&item.name);
    old.linkname[..item.link.len()].copy_from_slice(&item.link);
    old.linkflag = [item.kind];
    header.set_mode(item.mode);
    header.set_uid(item.owner.0);
    header.set_gid(item.owner.1);
    header.set_mtime(item.modified);
    header.set_size(item.data.len() as u64);
    header.set_device_major(item.device.0).unwrap();
    header.set_device_minor(item.device.1).unwrap();
    header.set_cksum();
    bytes.extend(header.as_bytes());
    bytes.extend(&item.data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
}

fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (1..).find(|length| (rest + length).to_string().len() == *length).unwrap() + rest;
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}
