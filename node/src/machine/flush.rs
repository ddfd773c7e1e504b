//! `POST /skerry/v1/flush`: writes what is only in memory to the state disk and answers `{}` once it is there. Asked for
//! before the machine's memory is saved: should that be of no use later, nothing of the disk is missing.

use api::{Status, tree};
use apiserver::machine::{Answer, Route};
use apiserver::reply;
use std::path::PathBuf;

/// The route. `data` lies on the disk.
pub fn flush(data: PathBuf) -> Route {
    Route::new(http::Method::POST, "flush", move |_| answer(data.clone()))
}

async fn answer(data: PathBuf) -> Answer {
    let flushed = tokio::task::spawn_blocking(move || sys::mount::flush(&data)).await;
    let flushed = flushed.map_err(|error| Status::internal(format!("flushing: {error}")))?;
    flushed.map_err(|error| Status::internal(error.to_string()))?;
    Ok(reply::object(200, &tree!({})))
}
