//! The machine's own paths of the API (`/skerry/v1/…`): one file and one line each.

mod clock;
pub mod dashboard;
mod docker;
mod flush;
mod images;
pub mod login;
mod logs;

use apiserver::machine::Routes;
use pki::Pki;
use std::path::PathBuf;
use std::sync::Arc;

/// What the handlers work with.
pub struct Means {
    /// The authorities.
    pub pki: Arc<Pki>,
    /// Where the state is.
    pub data: PathBuf,
    /// The one-time code and its window; none where nobody may log in with one.
    pub login: Option<login::Settings>,
    /// The images; none where there is no containerd.
    pub images: Option<kubelet::images::Images>,
    /// The way to Docker from outside; none where there is no Docker.
    pub docker: Option<crate::docker::front::Front>,
    /// The paths of the dashboard.
    pub dashboard: Vec<apiserver::machine::Route>,
}

/// Every path.
pub fn routes(means: Means) -> Routes {
    let login = Arc::new(login::Login::new(means.pki.clone(), means.login.as_ref()));
    let mut routes = vec![
        login::authority(login.clone()),
        login::login(login),
        logs::services(),
        logs::logs(),
        clock::set(),
        flush::flush(means.data),
    ];
    routes.extend(means.images.iter().flat_map(images::routes));
    routes.extend(means.docker.iter().flat_map(|front| docker::routes(means.pki.clone(), front)));
    routes.extend(means.dashboard);
    Routes::new(routes)
}
