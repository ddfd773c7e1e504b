//! OpenAPI: an index of groups and versions, and one v3 document each, made when first asked for and named by the
//! hash of its content, so that clients fetch it once.

mod document;

use crate::catalog::Catalog;
use crate::chain::Incoming;
use crate::reply::{self, Body};
use crate::server::Server;
use api::{Status, Tree};
use bytes::Bytes;
use descriptions::Descriptions;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A document and its name.
struct Made {
    bytes: Bytes,
    hash: String,
}

/// The documents of one catalog.
struct OfCatalog {
    /// The catalog that they describe; held, so that its address stays its own.
    catalog: Arc<Catalog>,
    /// By path: `api/v1`, `apis/apps/v1`.
    made: BTreeMap<String, Made>,
}

/// Documents that were made, and made again when the catalog is replaced.
#[derive(Default)]
pub struct Documents(Mutex<Option<Arc<OfCatalog>>>);

impl Documents {
    /// All documents: whoever asks for one asks for the index first, which holds the hashes of all.
    fn of(&self, catalog: &Arc<Catalog>) -> Arc<OfCatalog> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.as_ref().filter(|of| Arc::ptr_eq(&of.catalog, catalog)) {
            return found.clone();
        }
        let texts = Descriptions::unpack();
        let made = paths(catalog).into_iter().filter_map(|path| {
            let bytes: Bytes = document::of(catalog, &path, &texts)?.to_json().into();
            let digest = ring::digest::digest(&ring::digest::SHA512, &bytes);
            let hash = digest.as_ref().iter().map(|b| format!("{b:02X}")).collect();
            Some((path, Made { bytes, hash }))
        });
        let fresh = Arc::new(OfCatalog { catalog: catalog.clone(), made: made.collect() });
        *kept = Some(fresh.clone());
        fresh
    }
}

/// The documents that there are.
fn paths(catalog: &Catalog) -> Vec<String> {
    let mut found: Vec<String> =
        catalog
            .iter()
            .map(|r| {
                if r.group.is_empty() {
                    format!("api/{}", r.version)
                } else {
                    format!("apis/{}/{}", r.group, r.version)
                }
            })
            .collect();
    found.sort();
    found.dedup();
    found
}

/// Answers `/openapi/…`, if the path is one of these.
pub fn answer(server: &Server, path: &str, incoming: &Incoming) -> Option<Result<http::Response<Body>, Status>> {
    let catalog = server.catalog.load_full();
    match path.strip_prefix("/openapi/v3") {
        Some("") => Some(Ok(index(&server.openapi.of(&catalog)))),
        Some(rest) => {
            let documents = server.openapi.of(&catalog);
            let found = documents.made.get(rest.trim_start_matches('/'));
            Some(Ok(found.map_or_else(nothing, |made| serve(made, incoming))))
        }
        None => None,
    }
}

/// A document that there is none of: upstream says so without a word.
fn nothing() -> http::Response<Body> {
    let mut response = http::Response::new(reply::full(Bytes::new()));
    *response.status_mut() = http::StatusCode::NOT_FOUND;
    response
}

fn index(documents: &OfCatalog) -> http::Response<Body> {
    let mut entries = Tree::map();
    for (path, made) in &documents.made {
        let url = format!("/openapi/v3/{path}?hash={}", made.hash);
        entries.set(path.as_str(), api::tree!({"serverRelativeURL": url}));
    }
    // Upstream names no media type here, and its clients read JSON all the same.
    reply::text(200, api::tree!({"paths": entries}).to_json_text())
}

fn serve(made: &Made, incoming: &Incoming) -> http::Response<Body> {
    let etag = format!("\"{}\"", made.hash);
    let known = incoming.parts.headers.get(http::header::IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    let mut response = if known == Some(etag.as_str()) {
        reply::with_type(304, "application/json", reply::full(Bytes::new()))
    } else {
        reply::json(200, made.bytes.clone())
    };
    if let Ok(value) = http::HeaderValue::from_str(&etag) {
        response.headers_mut().insert(http::header::ETAG, value);
    }
    if incoming.query.get("hash") == Some(made.hash.as_str()) {
        // Named by its content, so it never changes.
        let forever = http::HeaderValue::from_static("public, immutable");
        response.headers_mut().insert(http::header::CACHE_CONTROL, forever);
    }
    response
}
