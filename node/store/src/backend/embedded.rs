//! The backend in one file: redb, one thread, one fsync for a group.
//!
//! The thread owns the database, because redb blocks. It must know no more of values than their bytes.

mod file;

use super::{Backend, BackendError, Batch, Change, Loaded, Pending, Verdict};
use file::File;
use std::path::PathBuf;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// Where the database lies: a file, or a simulated disk.
pub trait Medium: Send + 'static {
    /// Opens or makes the database with a builder that has its limits set. Called again after the disk was full.
    ///
    /// # Errors
    /// Those of redb.
    fn open(&self, builder: &redb::Builder) -> Result<redb::Database, redb::DatabaseError>;

    /// The bytes it takes.
    ///
    /// # Errors
    /// Those of the file system.
    fn bytes(&self) -> std::io::Result<u64>;
}

type Reply<T> = oneshot::Sender<Result<T, BackendError>>;

enum Job {
    Load(Reply<Loaded>),
    Commit(Vec<Batch>, Reply<Vec<Verdict>>),
    Compact(u64, Reply<()>),
    Close(Reply<()>),
}

/// A database in one file. Only one process can have it open.
pub struct Embedded {
    jobs: mpsc::Sender<Job>,
    thread: Option<JoinHandle<()>>,
}

impl Embedded {
    /// The database at `path`, made there with mode 0600 when it is loaded, in a folder that exists.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn new(path: impl Into<PathBuf>) -> std::io::Result<Embedded> {
        Embedded::on(path.into())
    }

    /// A database on any medium, such as a simulated disk.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn on(medium: impl Medium) -> std::io::Result<Embedded> {
        // The store makes one call at a time, so there is never a second job.
        let (jobs, mut waiting) = mpsc::channel(1);
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            let mut file = File::new(Box::new(medium));
            while let Some(job) = waiting.blocking_recv() {
                work(&mut file, job);
            }
        })?;
        Ok(Embedded { jobs, thread: Some(thread) })
    }

    async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, BackendError> {
        let ended = || BackendError::Broken("the thread of the database has ended".to_owned());
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// Nobody to answer to means that the store is gone, and with it the question.
fn work(file: &mut File, job: Job) {
    match job {
        Job::Load(reply) => drop(reply.send(file.load())),
        Job::Commit(group, reply) => drop(reply.send(file.commit(&group))),
        Job::Compact(revision, reply) => {
            file.compact(revision);
            drop(reply.send(Ok(())));
        }
        Job::Close(reply) => {
            file.close();
            drop(reply.send(Ok(())));
        }
    }
}

impl Backend for Embedded {
    fn load(&mut self) -> Pending<'_, Result<Loaded, BackendError>> {
        Box::pin(self.ask(Job::Load))
    }

    fn commit(&mut self, group: Vec<Batch>) -> Pending<'_, Result<Vec<Verdict>, BackendError>> {
        Box::pin(self.ask(|reply| Job::Commit(group, reply)))
    }

    fn compact(&mut self, revision: u64) -> Pending<'_, Result<(), BackendError>> {
        Box::pin(self.ask(move |reply| Job::Compact(revision, reply)))
    }

    fn watch(&mut self, _: u64) -> Pending<'_, Result<Option<mpsc::Receiver<Vec<Change>>>, BackendError>> {
        Box::pin(async { Ok(None) })
    }

    fn close(&mut self) -> Pending<'_, ()> {
        Box::pin(async {
            if let Err(error) = self.ask(Job::Close).await {
                tracing::error!(%error, "closing the database failed");
            }
        })
    }
}

impl Drop for Embedded {
    /// Waits for the thread, which has at most one job to finish, so that the file is free afterwards.
    fn drop(&mut self) {
        let (closed, _) = mpsc::channel(1);
        self.jobs = closed;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the database has panicked");
        }
    }
}
