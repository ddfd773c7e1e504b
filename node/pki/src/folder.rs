//! The folder that holds a cluster's authorities, certificates and token keys: made on first use, read afterwards,
//! renewed before anything in it expires.
//!
//! A certificate and its key share one file, and every file is replaced whole, so that power may fail at any write.
//! The one writer of the folder is [`Pki`].

use crate::authority::{Authority, Pair, renewal_due};
use crate::identity;
use crate::role::{AuthorityName, Entry, ROLES, Request, Role};
use crate::tls::Slot;
use crate::token::SigningKeys;
use anyhow::{Context, Result, anyhow, bail};
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use zeroize::Zeroizing;

/// Name of the file with the keys that sign service-account tokens; the first signs, the others only verify.
const TOKEN_KEYS: &str = "sa.pem";
/// Bytes of one file at most; a certificate with its key is about 2 KiB.
const FILE_MAX: u64 = 1 << 20;
/// Mode of a file with a private key.
const SECRET: u32 = 0o600;
/// Mode of a file that others may read.
const PUBLIC: u32 = 0o644;
/// Mode of the folder.
const FOLDER: u32 = 0o700;

/// A cluster's authorities, certificates and token keys.
#[derive(Debug)]
pub struct Pki {
    folder: PathBuf,
    request: Mutex<Request>,
    authorities: BTreeMap<AuthorityName, ArcSwap<Authority>>,
    slots: BTreeMap<Role, Arc<Slot>>,
    tokens: Arc<SigningKeys>,
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.pem"))
}

/// The bytes of a file; `None` when there is none.
fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let opened = match File::open(path) {
        Ok(opened) => opened,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).with_context(|| format!("opening {}", path.display())),
    };
    let mode = opened.metadata().with_context(|| format!("reading the mode of {}", path.display()))?.permissions();
    if mode.mode() & 0o077 != 0 {
        tracing::warn!(file = %path.display(), mode = mode.mode() & 0o777, "private key could be read by others; closing it");
        let closed = opened.set_permissions(fs::Permissions::from_mode(SECRET));
        closed.with_context(|| format!("closing {} to others", path.display()))?;
    }
    let mut bytes = Zeroizing::new(Vec::new());
    opened.take(FILE_MAX).read_to_end(&mut bytes).with_context(|| format!("reading {}", path.display()))?;
    Ok(Some(bytes))
}

/// Replaces a file whole: a reader, and a machine that loses power, sees the old bytes or the new ones.
///
/// # Errors
/// When the folder cannot be written.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let folder = path.parent().with_context(|| format!("{} has no folder", path.display()))?;
    let name =
        path.file_name().and_then(|name| name.to_str()).with_context(|| format!("{}: no name", path.display()))?;
    let fresh = folder.join(format!(".{name}.new"));
    let write = || -> std::io::Result<()> {
        match fs::remove_file(&fresh) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        opened.write_all(bytes)?;
        opened.sync_all()?;
        fs::rename(&fresh, path)?;
        File::open(folder)?.sync_all()
    };
    write().with_context(|| format!("writing {}", path.display()))
}

/// The folder as it is written to.
struct Place<'a> {
    path: &'a Path,
    /// Whether nobody knows of it yet: then all of it is written out at once in the end.
    is_new: bool,
}

impl Place<'_> {
    /// Writes a file whole.
    fn put(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
        if !self.is_new {
            return replace(path, bytes, mode);
        }
        let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
        opened.and_then(|mut file| file.write_all(bytes)).with_context(|| format!("writing {}", path.display()))
    }
}

fn load_authority(folder: &Place<'_>, name: AuthorityName, others: bool, now: SystemTime) -> Result<Authority> {
    let path = file(folder.path, name.file());
    let shown = path.display().to_string();
    let found = read(&path)?;
    let authority = match found {
        Some(bytes) => Pair::from_pem(&bytes).and_then(Authority::from_pair).with_context(|| {
            format!(
                "reading the authority {shown}: put it back from a copy, or remove the folder {}: then a new cluster \
                 identity is made and every kubeconfig must be fetched again",
                folder.path.display()
            )
        })?,
        None if others => bail!(
            "the authority {shown} is missing while certificates that it signed are there: put it back from a copy, or \
             remove the folder {}: then a new cluster identity is made and every kubeconfig must be fetched again",
            folder.path.display()
        ),
        None => {
            let made = Authority::generate(name.common_name(), now)?;
            folder.put(&path, made.to_pem().as_bytes(), SECRET)?;
            made
        }
    };
    let authority = renew_authority(folder, name, authority, now)?;
    write_public(folder, name, &authority)?;
    Ok(authority)
}

fn renew_authority(
    folder: &Place<'_>,
    name: AuthorityName,
    authority: Authority,
    now: SystemTime,
) -> Result<Authority> {
    if !renewal_due(&authority.validity(), now) {
        return Ok(authority);
    }
    let renewed = authority.renewed(now)?;
    folder.put(&file(folder.path, name.file()), renewed.to_pem().as_bytes(), SECRET)?;
    tracing::info!(authority = name.file(), "authority renewed for another life with the same key");
    Ok(renewed)
}

fn write_public(folder: &Place<'_>, name: AuthorityName, authority: &Authority) -> Result<()> {
    let path = folder.path.join(format!("{}.crt", name.file()));
    let text = authority.certificate_pem();
    match fs::read(&path) {
        Ok(there) if there == text.as_bytes() => Ok(()),
        _ => folder.put(&path, text.as_bytes(), PUBLIC),
    }
}

fn load_tokens(folder: &Place<'_>) -> Result<SigningKeys> {
    let path = folder.path.join(TOKEN_KEYS);
    match read(&path)? {
        Some(bytes) => SigningKeys::from_pem(&bytes).with_context(|| {
            format!(
                "reading the token keys {}: put the file back from a copy, or remove it: then every service-account \
                 token given out so far becomes invalid and is fetched anew",
                path.display()
            )
        }),
        None => {
            let made = SigningKeys::generate()?;
            folder.put(&path, made.to_pem().as_bytes(), SECRET)?;
            Ok(made)
        }
    }
}

/// Why a certificate must be issued anew; `None` when it need not.
fn outdated(pair: &Pair, entry: &Entry, request: &Request) -> Result<Option<&'static str>> {
    let said = identity::subject_of(&pair.certificate)?;
    if said.common_name != (entry.common_name)(&request.node) || said.organizations != entry.organizations {
        return Ok(Some("subject changed"));
    }
    let mut has = identity::sans(&pair.certificate)?;
    let mut wants = (entry.sans)(request);
    has.sort();
    wants.sort();
    if has != wants {
        return Ok(Some("names changed"));
    }
    let due = renewal_due(&identity::validity(&pair.certificate)?, request.now);
    Ok(due.then_some("last third of its life"))
}

fn issue(folder: &Place<'_>, entry: &Entry, authority: &Authority, request: &Request) -> Result<Pair> {
    let common_name = (entry.common_name)(&request.node);
    let names = (entry.sans)(request);
    let pair = authority.issue(&common_name, entry.organizations, names, entry.purpose, request.now)?;
    folder.put(&file(folder.path, entry.file), pair.to_pem().as_bytes(), SECRET)?;
    Ok(pair)
}

/// The certificate of `entry`: the one in the folder, or a new one. The second value says whether it is new.
fn load_or_issue(folder: &Place<'_>, entry: &Entry, authority: &Authority, request: &Request) -> Result<(Pair, bool)> {
    let path = file(folder.path, entry.file);
    let Some(bytes) = read(&path)? else {
        return Ok((issue(folder, entry, authority, request)?, true));
    };
    let remedy = || format!("reading the certificate {}: remove the file, it is issued anew", path.display());
    let pair = Pair::from_pem(&bytes).with_context(remedy)?;
    if !identity::issued_by(&pair.certificate, authority.certificate()).with_context(remedy)? {
        let signer = entry.authority.file();
        return Err(anyhow!("it was not signed by {signer}.pem in the same folder")).with_context(remedy);
    }
    match outdated(&pair, entry, request).with_context(remedy)? {
        None => Ok((pair, false)),
        Some(reason) => {
            let fresh = issue(folder, entry, authority, request)?;
            tracing::info!(certificate = entry.file, reason, "certificate issued anew");
            Ok((fresh, true))
        }
    }
}

impl Pki {
    /// Reads `folder`, and makes what is not there: the folder, authorities, token key, certificates.
    /// Certificates whose names or subject differ from `request`, or whose last third has begun, are issued anew.
    ///
    /// # Errors
    /// When the folder cannot be written, or a file is cut off, does not match, or is missing where others depend on
    /// it; the message names the file and what to do.
    pub fn load_or_create(folder: &Path, request: &Request) -> Result<Self> {
        if folder.exists() {
            return Self::fill(&Place { path: folder, is_new: false }, request);
        }
        // A folder that is made has some thirty files. To wait for the disk after each would be a part of every first
        // start; made under another name and written out at once, it is there whole or not at all.
        let fresh = folder.with_extension("new");
        match fs::remove_dir_all(&fresh) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
        .with_context(|| format!("removing {}", fresh.display()))?;
        let made = Self::fill(&Place { path: &fresh, is_new: true }, request)?;
        let settle = || -> std::io::Result<()> {
            rustix::fs::syncfs(File::open(&fresh)?)?;
            fs::rename(&fresh, folder)?;
            folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
        };
        settle().with_context(|| format!("making the folder {}", folder.display()))?;
        Ok(Self { folder: folder.to_owned(), ..made })
    }

    fn fill(place: &Place<'_>, request: &Request) -> Result<Self> {
        let folder = place.path;
        fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
        let closed = fs::set_permissions(folder, fs::Permissions::from_mode(FOLDER));
        closed.with_context(|| format!("closing the folder {} to others", folder.display()))?;
        let mut authorities = BTreeMap::new();
        for name in AuthorityName::ALL {
            let mut signed = ROLES.iter().filter(|entry| entry.authority == name);
            let others = signed.any(|entry| file(folder, entry.file).exists());
            let authority = load_authority(place, name, others, request.now)?;
            authorities.insert(name, ArcSwap::from_pointee(authority));
        }
        let tokens = Arc::new(load_tokens(place)?);
        let mut slots = BTreeMap::new();
        for entry in ROLES {
            let authority = authorities[&entry.authority].load();
            let (pair, _) = load_or_issue(place, entry, &authority, request)?;
            slots.insert(entry.role, Arc::new(Slot::new(&pair)?));
        }
        Ok(Self { folder: folder.to_owned(), request: Mutex::new(request.clone()), authorities, slots, tokens })
    }

    /// An authority as it is now.
    #[must_use]
    pub fn authority(&self, name: AuthorityName) -> Arc<Authority> {
        self.authorities[&name].load_full()
    }

    /// The certificate of a role, for TLS; a renewal reaches every holder of the slot.
    #[must_use]
    pub fn slot(&self, role: Role) -> Arc<Slot> {
        self.slots[&role].clone()
    }

    /// The file with certificate and key of a role, both in PEM, for programs that read files.
    #[must_use]
    pub fn file(&self, role: Role) -> PathBuf {
        file(&self.folder, role.entry().file)
    }

    /// The file with the certificate of an authority, PEM, readable by all who may enter the folder.
    #[must_use]
    pub fn authority_file(&self, name: AuthorityName) -> PathBuf {
        self.folder.join(format!("{}.crt", name.file()))
    }

    /// The keys of service-account tokens.
    #[must_use]
    pub fn tokens(&self) -> Arc<SigningKeys> {
        self.tokens.clone()
    }

    /// Issues anew whatever is due at `now`, in the folder and in the slots, and says which roles it was.
    ///
    /// # Errors
    /// As [`Pki::load_or_create`]; what was issued before the error stays issued.
    pub fn renew_due(&self, now: SystemTime) -> Result<Vec<Role>> {
        let mut request = self.request.lock().unwrap_or_else(PoisonError::into_inner).clone();
        request.now = now;
        self.update(&request)
    }

    /// As [`Pki::renew_due`], and for the names and addresses of `request` from now on.
    ///
    /// # Errors
    /// As [`Pki::load_or_create`].
    pub fn update(&self, request: &Request) -> Result<Vec<Role>> {
        // The lock is held throughout: it makes this the one writer of the folder.
        let place = Place { path: &self.folder, is_new: false };
        let mut kept = self.request.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone_from(request);
        for name in AuthorityName::ALL {
            let authority = self.authority(name);
            if renewal_due(&authority.validity(), request.now) {
                let renewed = authority.renewed(request.now)?;
                replace(&file(&self.folder, name.file()), renewed.to_pem().as_bytes(), SECRET)?;
                write_public(&place, name, &renewed)?;
                self.authorities[&name].store(Arc::new(renewed));
            }
        }
        let mut renewed = Vec::new();
        for entry in ROLES {
            let (pair, fresh) = load_or_issue(&place, entry, &self.authority(entry.authority), request)?;
            if fresh {
                self.slots[&entry.role].store(&pair)?;
                renewed.push(entry.role);
            }
        }
        Ok(renewed)
    }

    /// When [`Pki::renew_due`] will next have something to do; until then there is no need to ask.
    #[must_use]
    pub fn next_renewal(&self) -> SystemTime {
        let leaves = self.slots.values().map(|slot| slot.renewal());
        let authorities = self.authorities.values().map(|held| crate::tls::renewal_of(&held.load().validity()));
        leaves.chain(authorities).min().unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests;
