//! A browser without a screen: Chromium, spoken to in the DevTools protocol over two pipes, so that no port is open.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The program, as Debian calls it.
const PROGRAM: &str = "chromium";
/// How long the browser may take for one answer; the machine may be busy with a build.
const ANSWER_MAX: Duration = Duration::from_secs(120);
/// Between two looks at the page.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A running browser with one page; it ends with this value.
pub struct Browser {
    child: Child,
    to: File,
    from: Receiver<Value>,
    session: String,
    count: u64,
    /// What the page complained of: exceptions, and what its content security policy kept from happening.
    complaints: Vec<String>,
    _folder: tempfile::TempDir,
}

impl Browser {
    /// Starts one with an empty page of this size.
    pub fn start(width: u32, height: u32) -> Browser {
        let folder = tempfile::tempdir().expect("a folder");
        let (into, out) = (folder.path().join("in"), folder.path().join("out"));
        for path in [&into, &out] {
            mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a pipe with a name");
        }
        // The shell opens the pipes as the descriptors that the browser wants them on.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 3<\"$PIPE_IN\" 4>\"$PIPE_OUT\"", "sh", PROGRAM]);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"]);
        command.arg(format!("--user-data-dir={}", folder.path().join("profile").display())).arg("about:blank");
        command.env("PIPE_IN", &into).env("PIPE_OUT", &out);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.unwrap_or_else(|error| panic!("starting {PROGRAM} (apt-get install chromium): {error}"));
        let to = File::options().write(true).open(&into).expect("the way to the browser");
        let reader = File::open(&out).expect("the way from the browser");
        let (tell, from) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(reader).split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else { return };
                if tell.send(message).is_err() {
                    return;
                }
            }
        });
        let session = String::new();
        let mut browser = Browser { child, to, from, session, count: 0, complaints: Vec::new(), _folder: folder };
        browser.attach(width, height);
        browser
    }

    fn attach(&mut self, width: u32, height: u32) {
        let made = self.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached = self.call("Target.attachToTarget", json!({"targetId": made["targetId"], "flatten": true}));
        self.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable", "Performance.enable"] {
            self.call(domain, json!({}));
        }
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// One command and its answer.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.count += 1;
        let id = self.count;
        let mut message = json!({"id": id, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap_or_else(|error| panic!("telling the browser {method}: {error}"));
        let end = Instant::now() + ANSWER_MAX;
        loop {
            match self.from.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(answer) if answer["id"] == id => {
                    assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                    return answer["result"].clone();
                }
                Ok(event) => self.hear(&event),
                Err(RecvTimeoutError::Timeout) => panic!("{method}: the browser does not answer"),
                Err(RecvTimeoutError::Disconnected) => panic!("{method}: the browser has ended"),
            }
        }
    }

    fn hear(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => self.complaints.push(params["exceptionDetails"].to_string()),
            "Log.entryAdded" if params["entry"]["source"] == "security" => {
                self.complaints.push(params["entry"]["text"].to_string());
            }
            _ => {}
        }
    }

    /// Goes to an address.
    pub fn open(&mut self, url: &str) {
        let answer = self.call("Page.navigate", json!({"url": url}));
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
    }

    /// The value of an expression in the page; a promise is waited for.
    pub fn value(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Looks again and again until an expression is true.
    pub fn until(&mut self, expression: &str, limit: Duration) {
        let end = Instant::now() + limit;
        // While a page is being left there is nothing to ask.
        let asked = format!("(() => {{ try {{ return Boolean({expression}) }} catch {{ return false }} }})()");
        while self.value(&asked) != true {
            if Instant::now() > end {
                let page = self.value("document.body.innerText.slice(0, 3000)");
                panic!("never: {expression}\ncomplaints: {:#?}\npage: {page}", self.complaints);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until the page shows a text.
    pub fn shows(&mut self, text: &str, limit: Duration) {
        self.until(&format!("document.body.innerText.includes({})", json!(text)), limit);
    }

    /// Presses keys, one after the other: letters, or names such as `Enter`.
    pub fn press(&mut self, keys: &[&str]) {
        for key in keys {
            let text = if *key == "Enter" { "\r" } else { key };
            let mut down = json!({"type": "keyDown", "key": key});
            if text.chars().count() == 1 {
                down["text"] = json!(text);
            }
            if *key == "Enter" {
                down["windowsVirtualKeyCode"] = json!(13);
            }
            self.call("Input.dispatchKeyEvent", down);
            self.call("Input.dispatchKeyEvent", json!({"type": "keyUp", "key": key}));
        }
    }

    /// Types text into what has the focus.
    pub fn types(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// Clicks the first element that a selector finds, and whose text contains `text`.
    pub fn click(&mut self, selector: &str, text: &str) {
        let find = format!(
            "[...document.querySelectorAll({})].find(e => e.innerText.includes({}))",
            json!(selector),
            json!(text)
        );
        self.until(&find, ANSWER_MAX);
        self.value(&format!("{find}.click()"));
    }

    /// Has the page light or dark.
    pub fn colours(&mut self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Writes what is seen into a file, as WebP.
    pub fn picture(&mut self, path: &Path) {
        let answer = self.call("Page.captureScreenshot", json!({"format": "webp", "quality": 82}));
        let bytes = STANDARD.decode(answer["data"].as_str().expect("a picture")).expect("base64");
        std::fs::write(path, bytes).unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
    }

    /// Whether the page complained of something.
    pub fn complaints(&mut self) -> Vec<String> {
        // What is on its way is heard with the answer.
        self.value("1");
        std::mem::take(&mut self.complaints)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
