//! The database file: its tables, its format version, commits, trimming and recovery from a full disk.

use super::super::{Action, BackendError, Batch, FIRST_REVISION, Loaded, Row, Verdict, Write, rows};
use super::Medium;
use crate::entry::Key;
use bytes::Bytes;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, Table, TableDefinition};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Numbers about the whole: the three names below.
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const META_FORMAT: &str = "format";
const META_REVISION: &str = "revision";
const META_OLDEST: &str = "oldest";
/// The newest state.
const ROWS: TableDefinition<&str, &[u8]> = TableDefinition::new("rows");
/// History by revision and place within it.
const HISTORY: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("history");

/// The format written by this build. One more for every change that an older build would misread.
const FORMAT: u64 = 1;
/// Bytes of redb's page cache. RAM is the database, so the cache only serves the pages of a commit; redb's own default
/// is a gibibyte.
const CACHE_BYTES: usize = 4 << 20;
/// History records removed by one commit. Trimming rides on commits, and must not make one of them slow.
const TRIM_MAX: usize = 1_024;
/// The file is compacted at opening when it is larger than this and [`WASTE_FACTOR`] times its content.
const COMPACT_BYTES_MIN: u64 = 32 << 20;
/// Copy on write needs room to breathe: up to this factor, free pages are simply used again.
const WASTE_FACTOR: u64 = 4;

impl Medium for PathBuf {
    /// A new file's name is made durable too, else a loss of power could take the whole database along.
    fn open(&self, builder: &Builder) -> Result<Database, DatabaseError> {
        if !self.exists() {
            std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self)?;
        }
        let database = builder.create(self)?;
        let folder = self.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(folder)?.sync_all()?;
        Ok(database)
    }

    fn bytes(&self) -> std::io::Result<u64> {
        std::fs::metadata(self).map(|metadata| metadata.len())
    }
}

/// How a piece of work on the file failed.
enum Failure {
    Redb(redb::Error),
    Newer(u64),
}

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Redb(error.into())
    }
}

impl Failure {
    fn into_error(self, doing: &str) -> BackendError {
        match self {
            Failure::Newer(found) => BackendError::Newer { found, known: FORMAT },
            Failure::Redb(error) if is_full(&error) => BackendError::Full(format!("{doing}: {error}")),
            Failure::Redb(error) => BackendError::Broken(format!("{doing}: {error}")),
        }
    }
}

fn is_full(error: &redb::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error, redb::Error::Io(io) if matches!(io.kind(), StorageFull | QuotaExceeded | FileTooLarge))
}

pub(super) struct File {
    medium: Box<dyn Medium>,
    /// Absent before loading, after closing, and while the disk is full: redb refuses all work after an error.
    database: Option<Database>,
    revision: u64,
    oldest: u64,
    /// Up to where history may be removed.
    compact_to: u64,
    broken: Option<String>,
}

impl File {
    pub fn new(medium: Box<dyn Medium>) -> File {
        File { medium, database: None, revision: 0, oldest: 0, compact_to: 0, broken: None }
    }

    fn open(&self) -> Result<Database, Failure> {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES);
        builder.set_repair_callback(|session| {
            tracing::info!(progress = session.progress(), "checking the database after an unclean stop");
        });
        Ok(self.medium.open(&builder)?)
    }

    /// Opens the file, makes or checks its format, and reads all of it.
    pub fn load(&mut self) -> Result<Loaded, BackendError> {
        let loaded = self.try_load().map_err(|failure| failure.into_error("opening the database"))?;
        (self.revision, self.oldest, self.compact_to) = (loaded.revision, loaded.oldest, loaded.oldest);
        Ok(loaded)
    }

    fn try_load(&mut self) -> Result<Loaded, Failure> {
        let mut database = self.open()?;
        prepare(&database)?;
        let loaded = read(&database)?;
        if wasteful(self.medium.bytes()?, &loaded) {
            let compacted = database.compact()?;
            tracing::info!(compacted, "compacted the database file");
        }
        self.database = Some(database);
        Ok(loaded)
    }

    /// One transaction for the whole group; on an error none of it happened, or what happened is unknown and the file
    /// is not written any more.
    pub fn commit(&mut self, group: &[Batch]) -> Result<Vec<Verdict>, BackendError> {
        if let Some(why) = &self.broken {
            return Err(BackendError::Broken(why.clone()));
        }
        if self.database.is_none() {
            self.reopen()?;
        }
        let database = self.database.as_ref().expect("it was just opened");
        match write(database, group, self.revision, (self.oldest, self.compact_to)) {
            Ok(done) => {
                (self.revision, self.oldest) = (done.revision, done.oldest);
                Ok(done.verdicts)
            }
            Err(failure) => Err(self.after(failure)),
        }
    }

    /// After a full disk the file is opened anew, which brings it back to the last commit. Any other error leaves the
    /// medium in doubt: a page that failed to be written may read back well from memory and be gone after a restart.
    fn after(&mut self, failure: Failure) -> BackendError {
        self.database = None;
        let error = failure.into_error("writing to the database");
        if let BackendError::Broken(why) = &error {
            self.broken = Some(why.clone());
        }
        error
    }

    fn reopen(&mut self) -> Result<(), BackendError> {
        let opened = self.open().and_then(|database| Ok((meta(&database, META_REVISION)?, database)));
        match opened {
            Err(failure) => Err(self.after(failure)),
            Ok((found, database)) if found == self.revision => {
                self.database = Some(database);
                Ok(())
            }
            Ok((found, _)) => {
                let known = self.revision;
                let why = format!("after a full disk, the database is at revision {found} instead of {known}");
                self.broken = Some(why.clone());
                Err(BackendError::Broken(why))
            }
        }
    }

    /// History up to `revision` goes with the next commits.
    pub fn compact(&mut self, revision: u64) {
        self.compact_to = self.compact_to.max(revision.min(self.revision));
    }

    /// Releases the file, and marks it as cleanly closed.
    pub fn close(&mut self) {
        self.database = None;
        self.broken = Some("the database is closed".to_owned());
    }
}

/// Makes the tables of a new file, or checks that this build knows the format of an old one.
fn prepare(database: &Database) -> Result<(), Failure> {
    match meta(database, META_FORMAT) {
        Ok(FORMAT) => return Ok(()),
        Ok(0) => {}
        Ok(found) => return Err(Failure::Newer(found)),
        Err(Failure::Redb(redb::Error::TableDoesNotExist(_))) => {}
        Err(failure) => return Err(failure),
    }
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(META_FORMAT, FORMAT)?;
        meta.insert(META_REVISION, FIRST_REVISION)?;
        meta.insert(META_OLDEST, FIRST_REVISION)?;
        transaction.open_table(ROWS)?;
        transaction.open_table(HISTORY)?;
    }
    Ok(transaction.commit()?)
}

/// A number of the table of numbers, 0 when it is not there.
fn meta(database: &Database, name: &str) -> Result<u64, Failure> {
    let table = database.begin_read()?.open_table(META)?;
    Ok(table.get(name)?.map_or(0, |number| number.value()))
}

fn read(database: &Database) -> Result<Loaded, Failure> {
    let (revision, mut oldest) = (meta(database, META_REVISION)?, meta(database, META_OLDEST)?);
    let transaction = database.begin_read()?;
    let mut found: Vec<Row> = Vec::new();
    for item in transaction.open_table(ROWS)?.iter()? {
        let (key, row) = item?;
        found.push(rows::parse_row(Key::from(key.value()), &Bytes::copy_from_slice(row.value())));
    }
    let mut records = Vec::new();
    for item in transaction.open_table(HISTORY)?.range((oldest + 1, 0)..)? {
        let (place, record) = item?;
        records.push((place.value().0, rows::parse_record(&Bytes::copy_from_slice(record.value()))));
    }
    let (history, given_up) = rows::replay(&found, records);
    if let Some(given_up) = given_up {
        tracing::error!(revision = given_up, "history is damaged; what is older is dropped");
        oldest = given_up;
    }
    Ok(Loaded { revision, oldest, rows: found, history })
}

/// Whether most of a file of so many bytes is free pages.
fn wasteful(file: u64, loaded: &Loaded) -> bool {
    let row = |row: &Row| (row.key.len() + row.sealed.len()) as u64;
    let newest: u64 = loaded.rows.iter().map(row).sum();
    let history: u64 = loaded.history.iter().map(|change| change.previous.as_ref().map_or(0, row)).sum();
    file > COMPACT_BYTES_MIN && file > WASTE_FACTOR * (newest + history)
}

struct Done {
    verdicts: Vec<Verdict>,
    revision: u64,
    oldest: u64,
}

/// Everything that one commit touches.
struct Tables<'t> {
    rows: Table<'t, &'static str, &'static [u8]>,
    history: Table<'t, (u64, u32), &'static [u8]>,
}

fn write(
    database: &Database,
    group: &[Batch],
    mut revision: u64,
    (mut oldest, compact_to): (u64, u64),
) -> Result<Done, Failure> {
    // Without quick repair, which would cost every commit a second phase: checking the whole file after an unclean stop
    // took 50 ms for 5,000 objects and half a second for 50,000 (`examples/store_bench.rs`).
    let transaction = database.begin_write()?;
    let mut verdicts = Vec::with_capacity(group.len());
    {
        let mut tables = Tables { rows: transaction.open_table(ROWS)?, history: transaction.open_table(HISTORY)? };
        for batch in group {
            if tables.holds(batch)? {
                revision += 1;
                tables.apply(batch, revision)?;
                verdicts.push(Verdict::Committed(revision));
            } else {
                verdicts.push(Verdict::Conflict { revision });
            }
        }
        if compact_to > oldest {
            oldest = tables.trim(compact_to)?;
        }
        let mut meta = transaction.open_table(META)?;
        meta.insert(META_REVISION, revision)?;
        meta.insert(META_OLDEST, oldest)?;
    }
    transaction.commit()?;
    Ok(Done { verdicts, revision, oldest })
}

impl Tables<'_> {
    fn holds(&self, batch: &Batch) -> Result<bool, Failure> {
        for Write { key, expect, .. } in batch {
            let found = self.rows.get(&**key)?.map_or(0, |row| rows::revisions(row.value()).1);
            if found != *expect {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn apply(&mut self, batch: &Batch, revision: u64) -> Result<(), Failure> {
        for (place, Write { key, action, .. }) in (0..).zip(batch) {
            let previous = self.rows.get(&**key)?.map(|row| row.value().to_vec());
            let last = match action {
                Action::Put(sealed) => {
                    let created = previous.as_ref().map_or(revision, |row| rows::revisions(row).0);
                    self.rows.insert(&**key, rows::row(created, revision, sealed).as_slice())?;
                    None
                }
                Action::Delete { last } => {
                    self.rows.remove(&**key)?;
                    last.as_ref()
                }
            };
            let put = matches!(action, Action::Put(_));
            let record = rows::record(key, put, previous.as_deref(), last);
            self.history.insert((revision, place), record.as_slice())?;
        }
        Ok(())
    }

    /// Removes history up to `to`, at most [`TRIM_MAX`] records, and returns up to where it is gone. A revision of which
    /// only a part was removed counts as gone: reading starts behind it.
    fn trim(&mut self, to: u64) -> Result<u64, Failure> {
        let mut places = Vec::new();
        for item in self.history.range(..(to + 1, 0))?.take(TRIM_MAX) {
            places.push(item?.0.value());
        }
        for place in &places {
            self.history.remove(place)?;
        }
        Ok(places.last().filter(|_| places.len() == TRIM_MAX).map_or(to, |(revision, _)| *revision))
    }
}
