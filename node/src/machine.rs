//! The machine's own paths of the API (`/skerry/v1/…`): one file and one line each.

pub mod login;
mod logs;

use apiserver::machine::Routes;
use pki::Pki;
use std::sync::Arc;

/// What the handlers work with.
pub struct Means {
    /// The authorities.
    pub pki: Arc<Pki>,
    /// The one-time code and its window; none where nobody may log in with one.
    pub login: Option<login::Settings>,
}

/// Every path.
pub fn routes(means: &Means) -> Routes {
    let login = Arc::new(login::Login::new(means.pki.clone(), means.login.as_ref()));
    Routes::new(vec![login::authority(login.clone()), login::login(login), logs::services(), logs::logs()])
}
