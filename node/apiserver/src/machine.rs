//! The machine's own paths, below `/skerry/v1/` and `/dashboard/`: what a cluster in one machine can do beyond
//! Kubernetes. The handlers come from the `node` binary, so that this crate knows neither containerd nor the emulator;
//! here they are found, authorized as any path that is no resource, and handed the request with its body un-read.

use crate::caller::Caller;
use crate::chain::{self, Incoming};
use crate::request::{Query, RequestInfo};
use crate::server::Server;
use api::Status;
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;

pub use client::{Body, BoxError};

/// What these paths begin with.
pub const PREFIX: &str = "/skerry/v1/";
/// What the paths of the dashboard begin with, which people see and type.
pub const DASHBOARD: &str = "/dashboard/";

/// Whether a path is one of the machine's own.
#[must_use]
pub fn is_below(path: &str) -> bool {
    path.starts_with(PREFIX) || path.starts_with(DASHBOARD)
}

/// A request for one of the machine's paths.
pub struct Request {
    /// Method, headers, version, and in the extensions the connection to take over for a stream.
    pub parts: http::request::Parts,
    /// What follows the route's path, unescaped: the `kube-proxy` of `logs/kube-proxy`. Empty for a route without a
    /// trailing slash.
    pub rest: String,
    /// The query.
    pub query: Query,
    /// The body, still on its way. No limit is set here: each handler names its own.
    pub body: Body,
    /// Who asks.
    pub caller: Caller,
}

impl Request {
    /// The whole body.
    ///
    /// # Errors
    /// 413 when it has more than `bytes_max` bytes, 400 when it breaks off.
    pub async fn whole(self, bytes_max: usize) -> Result<Bytes, Status> {
        chain::whole(self.body, bytes_max).await
    }
}

/// What a handler gives: an answer, or the failure that becomes one.
pub type Answer = Result<http::Response<Body>, Status>;

/// A handler under way.
pub type Work = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// One path of the machine.
pub struct Route {
    method: http::Method,
    root: &'static str,
    path: &'static str,
    open: bool,
    run: Box<dyn Fn(Request) -> Work + Send + Sync>,
}

impl Route {
    /// A route for callers that may use its path as authorization has it: `nonResourceURLs` of a ClusterRole, and
    /// `system:masters` always. `path` is what follows [`PREFIX`]; with a trailing slash it stands for everything
    /// below.
    pub fn new<F>(method: http::Method, path: &'static str, run: impl Fn(Request) -> F + Send + Sync + 'static) -> Route
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Route { method, root: PREFIX, path, open: false, run: Box::new(move |request| Box::pin(run(request))) }
    }

    /// The same for everybody, also without credentials: the handler itself decides whom it believes.
    #[must_use]
    pub fn open(mut self) -> Route {
        self.open = true;
        self
    }

    /// The same below another root, [`DASHBOARD`] for example.
    #[must_use]
    pub fn below(mut self, root: &'static str) -> Route {
        self.root = root;
        self
    }

    /// What follows this route's path in `path`, when it is for this route.
    fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(self.root)?.strip_prefix(self.path)?;
        let fits = if self.path.ends_with('/') { !rest.is_empty() } else { rest.is_empty() };
        fits.then_some(rest)
    }
}

/// Every path that the machine answers.
#[derive(Default)]
pub struct Routes(Vec<Route>);

impl Routes {
    /// The table of a machine.
    #[must_use]
    pub fn new(routes: Vec<Route>) -> Routes {
        Routes(routes)
    }

    fn find(&self, method: &http::Method, path: &str) -> Option<&Route> {
        self.0.iter().find(|route| route.method == *method && route.rest(path).is_some())
    }
}

/// Whether a request needs no authorization, because its route is open.
pub fn is_open(server: &Server, method: &http::Method, info: &RequestInfo) -> bool {
    server.machine.get().and_then(|routes| routes.find(method, &info.path)).is_some_and(|route| route.open)
}

/// Answers one of the machine's paths.
///
/// # Errors
/// 404 for an unknown path, 405 for a method that a known one does not have, and what the handler says.
pub async fn answer(server: &Server, caller: Caller, incoming: Incoming) -> Answer {
    let Some(routes) = server.machine.get() else { return Err(Status::no_such_path()) };
    let path = incoming.info.path.as_str();
    let Some(route) = routes.find(&incoming.parts.method, path) else {
        let methods: Vec<&str> =
            routes.0.iter().filter(|route| route.rest(path).is_some()).map(|route| route.method.as_str()).collect();
        return Err(match methods.is_empty() {
            true => Status::no_such_path(),
            false => Status::new(405, "MethodNotAllowed", format!("only {} is served here", methods.join(", "))),
        });
    };
    let rest = crate::request::unescape(route.rest(path).unwrap_or_default());
    let Incoming { query, parts, body, .. } = incoming;
    (route.run)(Request { parts, rest, query, body, caller }).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    fn routes() -> Routes {
        let name = |name: &'static str| move |_: Request| async move { Ok(crate::reply::text(200, name)) };
        Routes::new(vec![
            Route::new(Method::POST, "login", name("login")).open(),
            Route::new(Method::GET, "images", name("list")),
            Route::new(Method::DELETE, "images/", name("remove")),
        ])
    }

    #[test]
    fn a_route_is_found_by_method_and_whole_path() {
        let routes = routes();
        let path = |method: Method, path: &str| routes.find(&method, path).map(|route| (route.path, route.open));
        assert_eq!(path(Method::POST, "/skerry/v1/login"), Some(("login", true)));
        assert_eq!(path(Method::GET, "/skerry/v1/images"), Some(("images", false)));
        assert_eq!(path(Method::DELETE, "/skerry/v1/images/a/b"), Some(("images/", false)));
        for (method, wrong) in [
            (Method::GET, "/skerry/v1/login"),
            (Method::POST, "/skerry/v1/login/x"),
            (Method::POST, "/skerry/v1/loginx"),
            (Method::POST, "/skerry/v2/login"),
            (Method::POST, "login"),
            (Method::DELETE, "/skerry/v1/images/"),
        ] {
            assert_eq!(path(method.clone(), wrong), None, "{method} {wrong}");
        }
    }

    #[test]
    fn what_follows_a_path_with_a_slash_is_the_rest() {
        let routes = routes();
        let rest = |path| routes.find(&Method::DELETE, path).and_then(|route| route.rest(path));
        assert_eq!(rest("/skerry/v1/images/docker.io/library/x"), Some("docker.io/library/x"));
    }
}
