//! An emulator without a machine: it opens the sockets that it is told to, prints milestones once it may go on, and
//! ends as an emulator does. It is this test binary, started by a script in the tests' PATH.

use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

/// The milestones of a good boot.
pub const READY: [&str; 7] = ["init", "network", "disk", "containerd", "api", "node", "ready"];

struct Machine {
    arguments: String,
}

/// Not a test: what the script starts.
#[test]
#[ignore = "started by the tests' emulator script only"]
fn the_machine() {
    let arguments = std::env::var("FAKE_ARGUMENTS").expect("started by the script");
    if arguments.contains("-serial stdio") {
        println!("\n{{\"skerry\":\"init\",\"t_ms\":1}}");
        loop {
            std::thread::park();
        }
    }
    let machine = Arc::new(Machine { arguments });
    let monitor = UnixListener::bind("qmp.sock").expect("qmp.sock");
    for stream in monitor.incoming() {
        let (machine, stream) = (machine.clone(), stream.expect("a connection"));
        std::thread::spawn(move || converse(&machine, stream));
    }
}

impl Machine {
    fn say(&self, line: &str) {
        let bytes = format!("{line}\r\n");
        let mut log = OpenOptions::new().append(true).create(true).open("serial.log").expect("serial.log");
        log.write_all(bytes.as_bytes()).expect("room for it");
    }

    fn milestone(&self, name: &str, more: &str) {
        self.say(&format!("{{\"skerry\":\"{name}\",\"t_ms\":1{more}}}"));
    }

    fn boot(&self, stream: &mut UnixStream) {
        if self.arguments.contains("fake=silent") {
            return;
        }
        self.say("[    0.1] a word of the kernel");
        self.milestone("init", "");
        if self.arguments.contains("fake=failed") {
            self.milestone(
                "failed",
                ",\"phase\":\"disk\",\"reason\":\"there is no state disk\",\"advice\":\"attach one\"",
            );
        } else if self.arguments.contains("fake=panic") {
            end(stream, "GUEST_PANICKED", &json!({"action": "poweroff"}), 1);
        } else {
            READY[1..].iter().for_each(|name| self.milestone(name, ""));
        }
    }
}

fn converse(machine: &Machine, mut stream: UnixStream) {
    let lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines();
    tell(&mut stream, &json!({"QMP": {"version": {}, "capabilities": []}}));
    for line in lines.map_while(Result::ok) {
        let command: Value = serde_json::from_str(&line).expect("an object");
        let answer = match command["execute"].as_str() {
            Some("query-status") => json!({"status": "running", "running": true}),
            Some("human-monitor-command") => json!(""),
            _ => json!({}),
        };
        tell(&mut stream, &json!({"return": answer}));
        match command["execute"].as_str() {
            Some("cont") => machine.boot(&mut stream),
            Some("system_powerdown") if !machine.arguments.contains("fake=silent") => {
                machine.milestone("shutdown", "");
                end(&mut stream, "SHUTDOWN", &json!({"guest": true, "reason": "guest-shutdown"}), 0);
            }
            Some("quit") => end(&mut stream, "SHUTDOWN", &json!({"guest": false, "reason": "host-qmp-quit"}), 0),
            _ => {}
        }
    }
}

fn tell(stream: &mut UnixStream, value: &Value) {
    stream.write_all(format!("{value}\n").as_bytes()).expect("somebody listens");
}

fn end(stream: &mut UnixStream, event: &str, data: &Value, code: i32) {
    tell(stream, &json!({"event": event, "data": data, "timestamp": {}}));
    std::process::exit(code);
}
