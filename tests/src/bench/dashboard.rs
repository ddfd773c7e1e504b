//! The dashboard with ten thousand pods: when one sees something, what it takes of memory, how it scrolls. Measured
//! against the control plane on this host, because a machine of a usual size runs no ten thousand pods.

use super::Bench;
use super::figures::{megabytes, seconds};
use crate::harness::Browser;
use anyhow::{Context, Result, bail, ensure};
use image::cluster::access::{Api, json_of};
use image::cluster::relay::{Relay, listen};
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Pods in the list.
const PODS: usize = 10_000;
/// Until the control plane answers, and until the page shows what it should.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Frames that are scrolled through, and pixels a frame: a fast turn of the wheel.
const FRAMES: u32 = 120;

/// A control plane that ends with this value.
struct Plane {
    child: Child,
    folder: tempfile::TempDir,
}

impl Drop for Plane {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Plane {
    fn start(program: &std::path::Path, port: u16) -> Result<Plane> {
        let folder = tempfile::tempdir().context("making a folder")?;
        let mut command = Command::new(program);
        command.args(["--no-kubelet", "--port", &port.to_string()]).arg("--data").arg(folder.path().join("data"));
        command.arg("--kubeconfig-out").arg(folder.path().join("kubeconfig"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
        Ok(Plane { child, folder })
    }

    fn entry(&self) -> Result<pki::kubeconfig::Entry> {
        let path = self.folder.path().join("kubeconfig");
        let end = Instant::now() + WAIT_MAX;
        while !path.exists() {
            ensure!(Instant::now() < end, "the control plane did not come up");
            std::thread::sleep(LOOK_EVERY);
        }
        let text = std::fs::read_to_string(&path)?;
        pki::kubeconfig::read(&text, "skerry")?.context("the kubeconfig has no context")
    }
}

pub fn measure(bench: &mut Bench) -> Result<()> {
    let program = bench.built.skerry.parent().context("a program lies in a folder")?.join("node");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (free, port) = runtime.block_on(listen(None, 0))?;
    drop(free);
    let plane = Plane::start(&program, port)?;
    let entry = plane.entry()?;
    let api = Api::new(&entry)?;
    fill(&api)?;
    let (listener, relay) = runtime.block_on(listen(None, 0))?;
    runtime.spawn(Relay::new(&entry)?.run(listener));
    let answer = json_of(api.post("/skerry/v1/dashboard/ticket", "application/json", &mut std::io::empty())?)?;
    let ticket = answer["ticket"].as_str().context("no ticket")?.to_owned();

    let mut browser = Browser::start(1280, 800);
    browser.open(&format!("http://127.0.0.1:{relay}/dashboard/#ticket={ticket}"));
    browser.until("document.querySelector('aside nav a')", WAIT_MAX);
    // As somebody comes back to the list: everything is asked for again.
    browser.open(&format!("http://127.0.0.1:{relay}/dashboard/?again#/list/-/pods"));
    browser.until("document.querySelectorAll('[role=table] .seen [role=row]').length > 20", WAIT_MAX);
    let paint = browser.value("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0");
    let rows = browser.value("performance.now()");
    browser.until(&format!("document.querySelector('.count').innerText.includes('{}')", "10,000"), WAIT_MAX);
    let all = browser.value("performance.now()");
    bench.note(format!("dashboard, {PODS} pods: first paint"), time(&paint)?);
    bench.note(format!("dashboard, {PODS} pods: first rows seen"), time(&rows)?);
    bench.note(format!("dashboard, {PODS} pods: all listed"), time(&all)?);
    browser.call("HeapProfiler.collectGarbage", json!({}));
    let used = browser.call("Runtime.getHeapUsage", json!({}));
    bench.note(
        format!("dashboard, {PODS} pods: memory of the page's scripts"),
        megabytes(used["usedSize"].as_f64().unwrap_or(0.0) as u64),
    );
    let frames = browser.value(&scrolling());
    let frame = |name: &str| frames[name].as_f64().map(|ms| format!("{ms:.1} ms")).context("no frames");
    bench.note(
        format!("dashboard, {PODS} pods: a frame while scrolling, median / 95 %"),
        format!("{} / {}", frame("median")?, frame("most")?),
    );
    let filter = browser.value(FILTERING);
    bench.note(format!("dashboard, {PODS} pods: from a key in the filter to the drawn rows"), time(&filter)?);
    Ok(())
}

fn time(value: &Value) -> Result<String> {
    let ms = value.as_f64().context("no time")?;
    Ok(seconds(Duration::from_secs_f64(ms / 1000.0)))
}

fn fill(api: &Api) -> Result<()> {
    let end = Instant::now() + WAIT_MAX;
    while api.get("/api/v1/namespaces/default/serviceaccounts/default").is_err() {
        if Instant::now() > end {
            bail!("the namespace did not get its account");
        }
        std::thread::sleep(LOOK_EVERY);
    }
    for number in 0..PODS {
        let pod = json!({
            "metadata": {
                "name": format!("shop-front-{:04x}-{number:05}", number / 7),
                "labels": {"app": format!("app-{}", number % 50)}
            },
            "spec": {"containers": [{"name": "c", "image": "shop.local/front:v1"}]}
        });
        api.post("/api/v1/namespaces/default/pods", "application/json", &mut pod.to_string().as_bytes())?;
    }
    Ok(())
}

/// Scrolls and times each frame.
fn scrolling() -> String {
    format!(
        "new Promise(done => {{
            const box = document.querySelector('[role=table]'), times = [];
            let last = performance.now(), left = {FRAMES};
            const step = now => {{
                times.push(now - last); last = now; box.scrollTop += 900;
                if (--left) requestAnimationFrame(step);
                else {{
                    times.sort((a, b) => a - b);
                    done({{median: times[times.length >> 1], most: times[Math.floor(times.length * 0.95)]}})
                }}
            }};
            requestAnimationFrame(step);
        }})"
    )
}

/// Types into the filter and waits for the drawing.
const FILTERING: &str = "new Promise(done => {
    const field = document.querySelector('input[aria-label=Filter]'), began = performance.now();
    field.value = 'front 42';
    field.dispatchEvent(new Event('input', {bubbles: true}));
    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began)));
})";
