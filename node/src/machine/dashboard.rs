//! The dashboard: its files, its logins, and what it asks beyond the API. What is in it, crate `dashboard` knows; what
//! a login is, `apiserver::sessions`.
//!
//! `POST /skerry/v1/dashboard/ticket` gives whoever calls with credentials of its own a ticket. The page, below
//! `/dashboard/`, takes it to `POST session`, once, and gets a cookie and a key; with both it calls as that user.
//! `GET session` says who that is, `DELETE session` ends it. `POST documents` makes objects of YAML, and `GET why/…`
//! tells why something does not run.

use api::{Status, tree};
use apiserver::browser::{self, Names};
use apiserver::caller::UNAUTHENTICATED;
use apiserver::inprocess::InProcess;
use apiserver::machine::{Answer, Body, DASHBOARD, Request, Route};
use apiserver::reply;
use apiserver::server::Server;
use apiserver::sessions::{SESSION_LIFE, Sessions, TICKET_LIFE};
use client::Client;
use dashboard::assets::{Asset, HEADERS};
use dashboard::documents;
use dashboard::gather::Gather;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Response};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

/// Bytes of a login's body: a ticket.
const TICKET_BYTES_MAX: usize = 4 << 10;
/// Bytes of YAML that is made objects: as much as the API takes at once.
const YAML_BYTES_MAX: usize = 3 << 20;

/// What the handlers work with.
#[derive(Clone)]
struct Means {
    sessions: Arc<Sessions>,
    /// Weak, because the server keeps its routes.
    server: Weak<Server>,
}

/// Every path, and the logins that the server's authentication must know. `names` are those that browsers reach the
/// machine under, beside this host's own.
pub fn routes(server: &Arc<Server>, names: Vec<String>) -> (Vec<Route>, Arc<Sessions>) {
    let sessions = Arc::new(Sessions::new(Names::new(names)));
    let means = Means { sessions: sessions.clone(), server: Arc::downgrade(server) };
    let routes = vec![
        route(&means, Method::POST, "dashboard/ticket", ticket),
        route(&means, Method::POST, "session", open).below(DASHBOARD),
        route(&means, Method::GET, "session", who).below(DASHBOARD),
        route(&means, Method::DELETE, "session", close).below(DASHBOARD),
        route(&means, Method::POST, "documents", read).below(DASHBOARD),
        route(&means, Method::GET, "why/", why).below(DASHBOARD),
        route(&means, Method::GET, "", page).below(DASHBOARD),
        route(&means, Method::GET, "assets/", asset).below(DASHBOARD),
    ];
    (routes, sessions)
}

/// All are open: a page must load before it can log in, and what a caller may read is the API's business.
fn route<F>(means: &Means, method: Method, path: &'static str, run: fn(Means, Request) -> F) -> Route
where
    F: Future<Output = Answer> + Send + 'static,
{
    let means = means.clone();
    Route::new(method, path, move |request| run(means.clone(), request)).open()
}

impl Means {
    fn server(&self) -> Result<Arc<Server>, Status> {
        self.server.upgrade().ok_or_else(|| Status::unavailable("the server stops"))
    }
}

/// The dashboard's headers on an answer.
fn dressed(mut response: Response<Body>) -> Response<Body> {
    for (name, value) in HEADERS {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

fn known(request: &Request) -> Result<(), Status> {
    if request.caller.in_group(UNAUTHENTICATED) {
        return Err(Status::new(401, "Unauthorized", "log in by `skerry dashboard`"));
    }
    Ok(())
}

async fn ticket(means: Means, request: Request) -> Answer {
    known(&request)?;
    if browser::page_key(&request.parts.headers).is_some() {
        return Err(Status::new(
            403,
            "Forbidden",
            "a session cannot prolong itself: a ticket needs a certificate or token",
        ));
    }
    let server = means.server()?;
    let (user, now) = (request.caller.name().to_owned(), SystemTime::from(server.world.clock.now()));
    let ticket = means.sessions.ticket(request.caller, now, server.world.random.as_ref());
    tracing::info!(user, "a login to the dashboard was asked for");
    let seconds = i64::try_from(TICKET_LIFE.as_secs()).unwrap_or(i64::MAX);
    Ok(reply::object(201, &tree!({"ticket": (ticket.as_str()), "path": DASHBOARD, "seconds": seconds})))
}

async fn open(means: Means, request: Request) -> Answer {
    browser::check(&request.parts.headers, &request.parts.uri, means.sessions.names())?;
    let body = request.whole(TICKET_BYTES_MAX).await?;
    let decoded = api::Tree::from_json(&body).map_err(|error| Status::bad_request(error.to_string()))?.tree;
    let given = decoded.str_at(&["ticket"]).ok_or_else(|| Status::bad_request("ticket is missing"))?;
    let server = means.server()?;
    let opened = means.sessions.open(given, server.world.clock.now().into(), server.world.random.as_ref())?;
    tracing::info!(user = opened.caller.name(), "a session of the dashboard was opened");
    let answer = tree!({"page": (opened.page.as_str()), "user": (opened.caller.name())});
    let mut response = dressed(reply::object(201, &answer));
    let cookie = format!(
        "{}={}; Path=/; Max-Age={}; HttpOnly; Secure; SameSite=Strict",
        browser::COOKIE,
        opened.cookie,
        SESSION_LIFE.as_secs()
    );
    let cookie = HeaderValue::from_str(&cookie).map_err(Status::internal)?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn who(_: Means, request: Request) -> Answer {
    known(&request)?;
    let groups: Vec<&str> = request.caller.groups().iter().map(String::as_str).collect();
    Ok(dressed(reply::object(200, &tree!({"user": (request.caller.name()), "groups": groups}))))
}

async fn close(means: Means, request: Request) -> Answer {
    known(&request)?;
    let page = browser::page_key(&request.parts.headers).unwrap_or_default();
    for cookie in browser::cookies(&request.parts.headers) {
        means.sessions.close(&cookie, &page);
    }
    Ok(dressed(reply::object(200, &tree!({}))))
}

async fn read(_: Means, request: Request) -> Answer {
    known(&request)?;
    let body = request.whole(YAML_BYTES_MAX).await?;
    let objects = documents::read(&body)?;
    Ok(dressed(reply::object(200, &tree!({"objects": objects}))))
}

/// `why/KIND/NAMESPACE/NAME`; no namespace is written `-`.
async fn why(means: Means, request: Request) -> Answer {
    known(&request)?;
    let parts: Vec<&str> = request.rest.split('/').collect();
    let [kind, namespace, name] = parts.as_slice() else {
        return Err(Status::bad_request("ask for why/KIND/NAMESPACE/NAME, with - for no namespace"));
    };
    let namespace = if *namespace == "-" { "" } else { namespace };
    let own = InProcess::on_behalf(means.server()?, request.caller.clone());
    let chain = Gather::new(Client::new(Arc::new(own), "skerry-dashboard")).why(kind, namespace, name).await?;
    Ok(dressed(reply::object(200, &chain.to_tree())))
}

async fn page(means: Means, request: Request) -> Answer {
    file(&means, &request, "")
}

async fn asset(means: Means, request: Request) -> Answer {
    let path = format!("assets/{}", request.rest);
    file(&means, &request, &path)
}

fn file(means: &Means, request: &Request, path: &str) -> Answer {
    let headers = &request.parts.headers;
    browser::check_host(headers, &request.parts.uri, means.sessions.names())?;
    let asset = Asset::find(path).ok_or_else(Status::no_such_path)?;
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut response = if text(header::IF_NONE_MATCH) == asset.tag {
        reply::with_type(304, asset.media_type(), reply::full(""))
    } else if text(header::ACCEPT_ENCODING).contains("gzip") {
        let mut response = reply::with_type(200, asset.media_type(), reply::full(asset.gzip));
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        return Err(Status::new(406, "NotAcceptable", "the dashboard is served compressed: accept the encoding gzip"));
    };
    let own = response.headers_mut();
    own.insert(header::ETAG, HeaderValue::from_static(asset.tag));
    own.insert(header::CACHE_CONTROL, HeaderValue::from_static(asset.cache_control()));
    own.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    Ok(dressed(response))
}
