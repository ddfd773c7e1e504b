//! The login by a one-time code: a signing request and a proof come in, an administrator's certificate goes out.
//!
//! `GET /skerry/v1/login` gives the authority's certificate, which the client's proof must cover. `POST` takes
//! `{"request": "<PEM>", "proof": "<base64>"}` and answers `{"certificate", "authority", "proof"}`. The rules of the
//! window are `pki::login`'s; here it is bound to the boot: a code that was used stays used when this process starts
//! again.

use anyhow::Context;
use api::Status;
use api::tree;
use apiserver::machine::{Answer, Request, Route};
use apiserver::reply;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pki::csr::SigningRequest;
use pki::login::{Code, Refused, Window};
use pki::{AuthorityName, Pki};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;

/// Bytes of a login's body: a signing request of one key has about 500.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// The user that a login makes, as kubeadm's first administrator.
const USER: &str = "kubernetes-admin";
/// The user's group, which may do everything.
const GROUP: &str = "system:masters";

/// The code and when it counts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The code.
    pub code: Code,
    /// When its window opened, on the clock of `sys::clock::since_start`: zero for a machine, whose boot that is.
    pub opened: Duration,
    /// A file that does not outlive the boot; it holds the request that was granted.
    pub spent: PathBuf,
    /// Told when the code has been used.
    pub used: Arc<Notify>,
}

/// The state of the login.
pub struct Login {
    pki: Arc<Pki>,
    window: Option<Mutex<Window>>,
    spent: PathBuf,
    used: Arc<Notify>,
}

impl Login {
    /// A login; without settings all are refused. So they are when the note of an earlier use is there: the same
    /// boot has seen its one use.
    pub fn new(pki: Arc<Pki>, settings: Option<&Settings>) -> Login {
        let unspent = settings.filter(|settings| !settings.spent.exists());
        Login {
            pki,
            window: unspent.map(|settings| Mutex::new(Window::open(settings.code.clone(), settings.opened))),
            spent: settings.map(|settings| settings.spent.clone()).unwrap_or_default(),
            used: settings.map(|settings| settings.used.clone()).unwrap_or_default(),
        }
    }

    /// Judges one attempt at `now` of the boot's clock; the certificate is dated from `wall`.
    fn attempt(&self, body: &[u8], now: Duration, wall: SystemTime) -> Answer {
        let Some(window) = &self.window else { return Err(refusal(Refused::Used)) };
        let asked = Asked::read(body)?;
        let authority = self.pki.authority(AuthorityName::Cluster);
        let proof = {
            let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
            let granted = window.attempt(now, &asked.request.der, authority.certificate(), &asked.proof);
            granted.map_err(|refused| {
                tracing::warn!(reason = %refused, "a login was refused");
                refusal(refused)
            })?
        };
        self.used.notify_one();
        // Noted before the answer: a crash in between costs a restart of the machine, never a second use.
        pki::folder::replace(&self.spent, &asked.request.der, 0o600)
            .and_then(|()| asked.request.sign_as(&authority, USER, &[GROUP], wall))
            .map(|certificate| {
                tracing::info!(user = USER, "a login by the one-time code was granted");
                let answer = tree!({
                    "certificate": (certificate.as_str()),
                    "authority": (authority.certificate_pem().as_str()),
                    "proof": (STANDARD.encode(proof).as_str()),
                });
                reply::object(201, &answer)
            })
            .map_err(|error| Status::internal(format!("{error:#}")))
    }
}

/// What a client sends.
struct Asked {
    request: SigningRequest,
    proof: Vec<u8>,
}

impl Asked {
    fn read(body: &[u8]) -> Result<Asked, Status> {
        let wrong = |why: String| Status::bad_request(format!("a login is {{\"request\", \"proof\"}}: {why}"));
        let decoded = api::Tree::from_json(body).map_err(|error| wrong(error.to_string()))?.tree;
        let text = |name: &str| {
            decoded.get(name).and_then(api::Tree::as_str).ok_or_else(|| wrong(format!("{name} is missing or no text")))
        };
        let request = SigningRequest::from_pem(text("request")?.as_bytes());
        let request = request.context("request").map_err(|error| wrong(format!("{error:#}")))?;
        let proof = STANDARD.decode(text("proof")?).map_err(|error| wrong(format!("proof is no base64: {error}")))?;
        Ok(Asked { request, proof })
    }
}

/// A refusal as HTTP has it.
fn refusal(refused: Refused) -> Status {
    match refused {
        Refused::TooMany(wait) => {
            let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).max(1);
            Status::too_many_requests(refused.to_string(), seconds)
        }
        Refused::Expired | Refused::Used => Status::new(410, "Gone", refused.to_string()),
        Refused::Wrong => Status::new(403, "Forbidden", refused.to_string()),
    }
}

/// The route that tells the authority's certificate.
pub fn authority(login: Arc<Login>) -> Route {
    let pem = login.pki.authority(AuthorityName::Cluster).certificate_pem();
    Route::new(http::Method::GET, "login", move |_| {
        let answer = reply::object(200, &tree!({"authority": (pem.as_str())}));
        async move { Ok(answer) }
    })
    .open()
}

/// The route that takes logins.
pub fn login(login: Arc<Login>) -> Route {
    Route::new(http::Method::POST, "login", move |request: Request| {
        let login = login.clone();
        async move {
            let body = request.whole(BODY_BYTES_MAX).await?;
            login.attempt(&body, sys::clock::since_start(), SystemTime::now())
        }
    })
    .open()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pki::login::{Side, prove, verify};

    struct Setting {
        folder: tempfile::TempDir,
        pki: Arc<Pki>,
        settings: Settings,
    }

    fn setting() -> Setting {
        let folder = tempfile::tempdir().unwrap();
        let request = pki::Request {
            now: SystemTime::now(),
            node: "skerry".to_owned(),
            addresses: Vec::new(),
            names: Vec::new(),
            service_addresses: Vec::new(),
            domain: "cluster.local".to_owned(),
        };
        let pki = Arc::new(Pki::load_or_create(&folder.path().join("pki"), &request).unwrap());
        let code = Code::generate().unwrap();
        let settings =
            Settings { code, opened: Duration::ZERO, spent: folder.path().join("login.spent"), used: Arc::default() };
        Setting { folder, pki, settings }
    }

    impl Setting {
        fn login(&self) -> Login {
            Login::new(self.pki.clone(), Some(&self.settings))
        }

        /// The body of a login, and the request in it.
        fn body(&self, code: &Code) -> (Vec<u8>, SigningRequest) {
            let key = pki::Key::generate().unwrap();
            let pem = pki::csr::request(&key, "whoever", Some("wheel"), &[]).unwrap();
            let request = SigningRequest::from_pem(pem.as_bytes()).unwrap();
            let authority = self.pki.authority(AuthorityName::Cluster);
            let proof = STANDARD.encode(prove(Side::Client, code, &request.der, authority.certificate()));
            let body = tree!({"request": (pem.as_str()), "proof": (proof.as_str())});
            (body.to_json(), request)
        }
    }

    const BOOTED: Duration = Duration::from_secs(5);

    async fn answered(answer: Answer) -> api::Tree {
        let response = answer.expect("granted");
        let bytes = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        api::Tree::from_json(&bytes).unwrap().tree
    }

    fn code_of(answer: Answer) -> u16 {
        answer.expect_err("refused").code
    }

    #[tokio::test]
    async fn a_right_proof_gives_an_administrator_whatever_the_request_asked_for() {
        let setting = setting();
        let (body, request) = setting.body(&setting.settings.code);
        let answer = answered(setting.login().attempt(&body, BOOTED, SystemTime::now())).await;
        let text = |name: &str| answer.get(name).and_then(api::Tree::as_str).unwrap().to_owned();
        let certificate = pki::pem::certificates(text("certificate").as_bytes()).unwrap().remove(0);
        let authority = setting.pki.authority(AuthorityName::Cluster);
        assert_eq!(text("authority"), authority.certificate_pem());
        let proof = STANDARD.decode(text("proof")).unwrap();
        assert!(verify(Side::Machine, &setting.settings.code, &request.der, authority.certificate(), &proof));
        let trust = pki::tls::ClientTrust::new(&[authority.certificate().clone()]).unwrap();
        let identity = trust.identity(&[certificate], SystemTime::now()).unwrap().unwrap();
        assert_eq!((identity.user.as_str(), identity.groups.as_slice()), (USER, &[GROUP.to_owned()][..]));
    }

    #[tokio::test]
    async fn a_code_counts_once_also_after_this_process_started_again() {
        let setting = setting();
        let login = setting.login();
        let (first, _) = setting.body(&setting.settings.code);
        let (second, _) = setting.body(&setting.settings.code);
        answered(login.attempt(&first, BOOTED, SystemTime::now())).await;
        assert_eq!(code_of(login.attempt(&second, BOOTED, SystemTime::now())), 410);
        assert_eq!(code_of(setting.login().attempt(&second, BOOTED, SystemTime::now())), 410);
    }

    #[test]
    fn a_wrong_code_a_late_one_and_guessing_are_told_apart() {
        let setting = setting();
        let login = setting.login();
        let (wrong, _) = setting.body(&Code::generate().unwrap());
        let codes: Vec<u16> = (0..6).map(|_| code_of(login.attempt(&wrong, BOOTED, SystemTime::now()))).collect();
        assert_eq!(codes, [403, 403, 403, 403, 403, 429]);
        let (right, _) = setting.body(&setting.settings.code);
        let late = pki::login::WINDOW + Duration::from_secs(1);
        assert_eq!(code_of(setting.login().attempt(&right, late, SystemTime::now())), 410);
        assert!(!setting.folder.path().join("login.spent").exists());
    }

    #[test]
    fn what_is_no_login_is_refused_and_costs_no_attempt() {
        let setting = setting();
        let login = setting.login();
        for body in [&b"x"[..], b"{}", b"{\"request\":1,\"proof\":\"\"}", b"{\"request\":\"pem\",\"proof\":\"\"}"] {
            for _ in 0..6 {
                assert_eq!(code_of(login.attempt(body, BOOTED, SystemTime::now())), 400);
            }
        }
    }

    #[test]
    fn without_a_code_nobody_logs_in() {
        let setting = setting();
        let (body, _) = setting.body(&setting.settings.code);
        assert_eq!(code_of(Login::new(setting.pki.clone(), None).attempt(&body, BOOTED, SystemTime::now())), 410);
    }
}
