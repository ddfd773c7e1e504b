//! The dashboard in a browser, against the control plane: the login, lists, the editor, actions, the causal chain.
//!
//! With `SKERRY_SCREENSHOTS` set to a folder, pictures for the README are written there.

use crate::plane::Plane;
use api::{Tree, tree};
use image::cluster::relay::{Relay, listen};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;
use tests::harness::Browser;

/// How long the page may take for anything; the machine may be busy with a build.
const SOON: Duration = Duration::from_secs(60);

/// A control plane with a relay before it, as `skerry dashboard` opens one.
struct Setting {
    plane: Plane,
    port: u16,
}

async fn setting() -> Setting {
    let plane = Plane::start();
    let (listener, port) = listen(None, 0).await.expect("a free port");
    tokio::spawn(Relay::new(&plane.entry()).expect("a way to the plane").run(listener));
    Setting { plane, port }
}

impl Setting {
    async fn ticket(&self) -> String {
        let answer = self.plane.call("POST", "/skerry/v1/dashboard/ticket", None).await;
        answer.str_at(&["ticket"]).expect("a ticket").to_owned()
    }

    /// A browser that has logged in.
    async fn browser(&self) -> Browser {
        let url = format!("http://127.0.0.1:{}/dashboard/#ticket={}", self.port, self.ticket().await);
        tokio::task::block_in_place(|| {
            let mut browser = Browser::start(1280, 800);
            browser.open(&url);
            browser.until("document.querySelector('aside nav a')", SOON);
            browser
        })
    }

    /// One plain request over the relay, as some program would send it: head lines and body as they are.
    fn raw(&self, request: &str, headers: &[&str], body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the relay");
        stream.set_read_timeout(Some(SOON)).expect("a limit");
        let host = format!("host: 127.0.0.1:{}", self.port);
        let host = if headers.iter().any(|line| line.starts_with("host:")) { String::new() } else { host };
        let mut text = format!("{request} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        for line in headers.iter().copied().chain([host.as_str()]).filter(|line| !line.is_empty()) {
            text.push_str(line);
            text.push_str("\r\n");
        }
        stream.write_all(format!("{text}\r\n{body}").as_bytes()).expect("it takes a request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a code");
        (code, answer)
    }

    /// Opens a session by hand; its cookie and its page's key.
    async fn session(&self) -> (String, String) {
        let body = format!("{{\"ticket\":\"{}\"}}", self.ticket().await);
        let (code, answer) = self.raw("POST /dashboard/session", &[], &body);
        assert_eq!(code, 201, "{answer}");
        let set = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
        for word in ["HttpOnly", "Secure", "SameSite=Strict", "Path=/"] {
            assert!(set.contains(word), "{set}");
        }
        let page = answer.split("\"page\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a key");
        (set.split(';').next().expect("a pair").to_owned(), page.to_owned())
    }
}

fn picture(browser: &mut Browser, name: &str) {
    if let Some(folder) = std::env::var_os("SKERRY_SCREENSHOTS").map(PathBuf::from) {
        std::fs::create_dir_all(&folder).expect("a folder for pictures");
        browser.picture(&folder.join(format!("{name}.webp")));
    }
}

fn deployment() -> Tree {
    tree!({
        "metadata": {"name": "front", "labels": {"app": "front"}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "front"}},
            "template": {
                "metadata": {"labels": {"app": "front"}},
                "spec": {"containers": [{"name": "nginx", "image": "shop.local/front:v1"}]}
            }
        }
    })
}

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const PODS: &str = "/api/v1/namespaces/default/pods";

#[tokio::test(flavor = "multi_thread")]
async fn only_a_page_of_ours_with_a_login_of_somebody_gets_in() {
    let setting = setting().await;
    let (cookie, page) = setting.session().await;
    let (cookie, page) = (format!("cookie: {cookie}"), format!("x-skerry-page: {page}"));
    let pods = |headers: &[&str]| setting.raw(&format!("GET {PODS}"), headers, "").0;
    assert_eq!(pods(&[&cookie, &page]), 200);
    assert_eq!(pods(&[&cookie, &page, "sec-fetch-site: same-origin"]), 200);
    // No login, half of one, and one that never was.
    assert_eq!(pods(&[]), 403);
    assert_eq!(pods(&[&cookie]), 403);
    assert_eq!(pods(&[&page]), 401);
    assert_eq!(pods(&[&cookie, "x-skerry-page: 00"]), 401);
    // A foreign page, one on another port of this address, a name that an attacker's DNS leads here.
    for foreign in [
        "origin: http://evil.example",
        "origin: http://127.0.0.1:3000",
        "sec-fetch-site: cross-site",
        "host: evil.example",
    ] {
        let (code, answer) = setting.raw(&format!("GET {PODS}"), &[&cookie, &page, foreign], "");
        assert_eq!(code, 403, "{foreign}: {answer}");
        assert!(answer.contains("\"kind\":\"Status\""), "{answer}");
    }
    let (code, answer) = setting.raw("GET /dashboard/", &["host: evil.example:80", "accept-encoding: gzip"], "");
    assert!(code == 403 && answer.contains("is not served as"), "{answer}");
    // A session cannot make others, and it ends when it is told to.
    let (code, _) = setting.raw("POST /skerry/v1/dashboard/ticket", &[&cookie, &page], "");
    assert_eq!(code, 403);
    assert_eq!(setting.raw("POST /skerry/v1/dashboard/ticket", &[], "").0, 401);
    assert_eq!(setting.raw("DELETE /dashboard/session", &[&cookie, &page], "").0, 200);
    assert_eq!(pods(&[&cookie, &page]), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_good_once_and_for_no_foreign_page() {
    let setting = setting().await;
    let body = format!("{{\"ticket\":\"{}\"}}", setting.ticket().await);
    let open = |headers: &[&str]| setting.raw("POST /dashboard/session", headers, &body).0;
    assert_eq!(open(&["origin: http://evil.example"]), 403);
    assert_eq!(open(&["host: evil.example"]), 403);
    assert_eq!(open(&[]), 201);
    assert_eq!(open(&[]), 401);
    assert_eq!(setting.raw("POST /dashboard/session", &[], "{\"ticket\":\"\"}").0, 401);
    assert_eq!(setting.raw("POST /dashboard/session", &[], "{}").0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_served_with_the_headers_that_keep_others_out() {
    let setting = setting().await;
    let (code, answer) = setting.raw("GET /dashboard/", &["accept-encoding: gzip"], "");
    assert_eq!(code, 200);
    for line in [
        "content-security-policy: default-src 'none'; script-src 'self'",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
    ] {
        assert!(answer.contains(line), "{line}: {answer}");
    }
    assert_eq!(setting.raw("GET /dashboard/assets/nothing.js", &["accept-encoding: gzip"], "").0, 404);
    assert_eq!(setting.raw("GET /dashboard/", &[], "").0, 406);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_lists_finds_edits_acts_creates_and_deletes() {
    let setting = setting().await;
    let plane = &setting.plane;
    plane.until("/api/v1/namespaces/default/serviceaccounts/default", |code, _| code == 200).await;
    plane.call("POST", DEPLOYMENTS, Some(&deployment())).await;
    plane.until(PODS, |_, list| list.list_at(&["items"]).len() == 3).await;
    let mut browser = setting.browser().await;
    lists_and_finds(plane, &mut browser).await;
    edits(plane, &mut browser).await;
    meets_another_writer(plane, &mut browser).await;
    acts(plane, &mut browser).await;
    creates(plane, &mut browser).await;
    let complaints = tokio::task::block_in_place(|| browser.complaints());
    assert!(complaints.is_empty(), "{complaints:#?}");
}

fn rows(count: usize) -> String {
    format!("document.querySelectorAll('[role=table] .seen [role=row]').length === {count}")
}

/// The palette by a short name, the list, its filter, and objects that come and go by themselves.
async fn lists_and_finds(plane: &Plane, browser: &mut Browser) {
    tokio::task::block_in_place(|| {
        browser.press(&[":"]);
        browser.until("document.querySelector('[role=dialog] input') === document.activeElement", SOON);
        browser.types("deploy");
        browser.until("document.querySelector('[role=dialog] li').innerText.startsWith('Deployment')", SOON);
        browser.press(&["Enter"]);
        browser.until("location.hash.startsWith('#/list/apps/deployments')", SOON);
        browser.until(&rows(1), SOON);
        browser.press(&["j", "Enter"]);
        browser.until("location.hash === '#/object/apps/deployments/default/front'", SOON);
        browser.shows("0 ready of 3", SOON);
        browser.value("location.hash = '#/list/-/pods'");
        browser.until(&rows(3), SOON);
    });
    let later =
        tree!({"metadata": {"name": "later"}, "spec": {"containers": [{"name": "c", "image": "a.example/b:1"}]}});
    plane.call("POST", PODS, Some(&later)).await;
    tokio::task::block_in_place(|| {
        browser.until(&rows(4), SOON);
        browser.press(&["/"]);
        browser.types("later");
        browser.until(&rows(1), SOON);
    });
    plane.call("DELETE", &format!("{PODS}/later"), None).await;
    tokio::task::block_in_place(|| browser.shows("Nothing matches", SOON));
}

/// The editor: the server refuses what makes no sense before it is saved, and then takes what does.
async fn edits(plane: &Plane, browser: &mut Browser) {
    tokio::task::block_in_place(|| {
        browser.value("location.hash = '#/object/apps/deployments/default/front/yaml'");
        browser
            .until(&format!("{EDITOR}.querySelector('.cm-content').innerText.includes('shop.local/front:v1')"), SOON);
        whole(browser, &edited("many"));
        browser.shows("The server refuses this", SOON);
        whole(browser, &edited("2"));
        browser.shows("The server would take this", SOON);
        browser.click("button", "Save");
        browser.shows("is saved", SOON);
    });
    plane.until(&format!("{DEPLOYMENTS}/front"), |_, front| front.int_at(&["spec", "replicas"]) == Some(2)).await;
}

/// Somebody else saves while one edits: nothing is overwritten unseen, and one's own text goes on top when that is wished.
async fn meets_another_writer(plane: &Plane, browser: &mut Browser) {
    let path = format!("{DEPLOYMENTS}/front");
    let front = plane.call("GET", &path, None).await;
    let seen = front.str_at(&["metadata", "resourceVersion"]).expect("every object has one").to_owned();
    let mine = edited("4").replace(
        "metadata: {name: front, namespace: default, labels: {app: front}}",
        &format!(
            "metadata:\n  name: front\n  namespace: default\n  labels: {{app: front}}\n  resourceVersion: \"{seen}\""
        ),
    );
    tokio::task::block_in_place(|| {
        whole(browser, &mine);
        browser.shows("The server would take this", SOON);
    });
    let other = tree!({"metadata": {"annotations": {"by": "another"}}});
    plane.call("PATCH", &path, Some(&other)).await;
    tokio::task::block_in_place(|| {
        browser.shows("The object has changed.", SOON);
        browser.click("button", "Save");
        browser.shows("Somebody changed it meanwhile", SOON);
    });
    let kept = plane.call("GET", &path, None).await;
    assert_eq!(kept.str_at(&["metadata", "annotations", "by"]), Some("another"));
    tokio::task::block_in_place(|| {
        browser.click("button", "Put mine on top");
        browser.until(&format!("!{EDITOR}.querySelector('.cm-content').innerText.includes('\"{seen}\"')"), SOON);
        browser.click("button", "Save");
    });
    plane.until(&path, |_, front| front.int_at(&["spec", "replicas"]) == Some(4)).await;
}

/// Scaling, restart, the way back, and the end.
async fn acts(plane: &Plane, browser: &mut Browser) {
    let front = format!("{DEPLOYMENTS}/front");
    let stamped = |front: &Tree| {
        front.at(&["spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt"]).is_some()
    };
    tokio::task::block_in_place(|| {
        browser.click("button", "Scale");
        browser.until("document.querySelector('[role=dialog] input') === document.activeElement", SOON);
        browser.types("1");
        browser.press(&["Enter"]);
        browser.shows("is scaled to 1", SOON);
        browser.click("button", "Restart");
        browser.click("[role=dialog] button", "Restart");
    });
    let now = plane.until(&front, |_, front| stamped(front)).await;
    assert_eq!(now.int_at(&["spec", "replicas"]), Some(1));
    let sets = "/apis/apps/v1/namespaces/default/replicasets";
    plane.until(sets, |_, list| list.list_at(&["items"]).len() == 2).await;
    tokio::task::block_in_place(|| {
        browser.value("location.hash = '#/object/apps/deployments/default/front'");
        browser.click("button", "Roll back");
        browser.click("[role=dialog] button", "Roll back");
    });
    plane.until(&front, |_, front| !stamped(front)).await;
    tokio::task::block_in_place(|| {
        picture(browser, "deployment-light");
        browser.until("!document.querySelector('[role=dialog]')", SOON);
        browser.press(&["d"]);
        browser.shows("Delete Deployment front?", SOON);
        browser.press(&["Enter"]);
    });
    plane.until(&front, |code, _| code == 404).await;
}

/// Several documents at once; one that is wrong keeps all of them from being made.
async fn creates(plane: &Plane, browser: &mut Browser) {
    let two = format!("{}---\n{ONE}", ONE.replace("one", "two"));
    tokio::task::block_in_place(|| {
        // The list takes keys once it is there, which is after its address.
        browser.shows("There are no Deployments yet", SOON);
        browser.press(&["c"]);
        browser.until(&format!("{EDITOR}.querySelector('.cm-content')"), SOON);
        whole(browser, &two.replacen("data:", "dta:", 1));
        browser.click("[role=dialog] button.primary", "Create");
        browser.shows("unknown field", SOON);
    });
    let (code, _) = plane.call_as(plane.admin(), "GET", "/api/v1/namespaces/default/configmaps/one", None).await;
    assert_eq!(code, 404);
    tokio::task::block_in_place(|| {
        whole(browser, &two);
        browser.click("[role=dialog] button.primary", "Create");
        browser.shows("2 objects are created", SOON);
    });
    for name in ["one", "two"] {
        plane.call("GET", &format!("/api/v1/namespaces/default/configmaps/{name}"), None).await;
    }
}

/// The Deployment as somebody would write it into the editor.
fn edited(replicas: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: front, namespace: default, labels: {{app: front}}}}\n\
         spec:\n  replicas: {replicas}\n  selector: {{matchLabels: {{app: front}}}}\n  template:\n    \
         metadata: {{labels: {{app: front}}}}\n    spec: {{containers: [{{name: nginx, image: 'shop.local/front:v1'}}]}}\n"
    )
}

const ONE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: b}\n";

/// The editor's shadow tree.
const EDITOR: &str = "[...document.querySelectorAll('.host')].find(e => e.shadowRoot).shadowRoot";

/// Selects all of the editor's text and types another one, as a person with a clipboard does.
fn whole(browser: &mut Browser, text: &str) {
    browser.value(&format!("{EDITOR}.querySelector('.cm-content').focus()"));
    let all = |kind: &str| {
        serde_json::json!({
            "type": kind, "key": "a", "code": "KeyA", "modifiers": 2, "windowsVirtualKeyCode": 65,
            "commands": ["selectAll"]
        })
    };
    browser.call("Input.dispatchKeyEvent", all("keyDown"));
    browser.call("Input.dispatchKeyEvent", all("keyUp"));
    browser.types(text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_without_a_place_has_its_causal_chain_on_its_page() {
    let setting = setting().await;
    let plane = &setting.plane;
    plane.until("/api/v1/namespaces/default/serviceaccounts/default", |code, _| code == 200).await;
    let node = tree!({
        "metadata": {"name": "rock"},
        "spec": {"taints": [{"key": "role", "value": "db", "effect": "NoSchedule"}]}
    });
    plane.call("POST", "/api/v1/nodes", Some(&node)).await;
    let status = tree!({"status": {
        "capacity": {"cpu": "2", "memory": "1Gi", "pods": "10"},
        "allocatable": {"cpu": "2", "memory": "1Gi", "pods": "10"},
        "conditions": [{"type": "Ready", "status": "True"}]
    }});
    plane.call("PATCH", "/api/v1/nodes/rock/status", Some(&status)).await;
    let pod = tree!({"metadata": {"name": "big"}, "spec": {"containers": [
        {"name": "c", "image": "example.com/app:1", "resources": {"requests": {"memory": "4Gi"}}}
    ]}});
    plane.call("POST", PODS, Some(&pod)).await;
    let why = "/dashboard/why/pods/default/big";
    let chain = plane.until(why, |_, chain| chain.list_at(&["chain"]).len() >= 3).await;
    assert_eq!(chain.bool_at(&["well"]), Some(false));
    let mut browser = setting.browser().await;
    tokio::task::block_in_place(|| {
        browser.value("location.hash = '#/object/-/pods/default/big'");
        browser.shows("no node takes it", SOON);
        browser.shows("Too little memory: the pod asks for 4096 MiB", SOON);
        browser.shows("Its taint role=db:NoSchedule is not tolerated", SOON);
        picture(&mut browser, "why-light");
        browser.colours("dark");
        browser.until("document.documentElement.dataset.theme === 'dark'", SOON);
        picture(&mut browser, "why-dark");
        browser.value("location.hash = '#/'");
        browser.shows("PODS THAT NEED A LOOK", SOON);
        picture(&mut browser, "overview-dark");
    });
    // Somebody who may read nothing learns nothing.
    let (code, _) = plane.call_as(client::Credentials::Anonymous, "GET", why, None).await;
    assert_eq!(code, 401);
}
