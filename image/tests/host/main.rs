//! The host commands against an emulator that only speaks its monitor and prints milestones: what a user types, what
//! comes out, with which exit code. No machine is booted.

mod comforts;
mod fake;
mod host;
mod virtualbox;

use host::Host;
use std::net::{Ipv4Addr, TcpListener};

#[test]
fn a_cluster_is_started_once_shown_stopped_and_deleted() {
    let host = Host::new();
    let start = host.run(&["start", "--append", "fake=ready", "-o", "json"]);
    assert_eq!(start.code, 0, "{start:?}");
    assert_eq!(start.json()["accelerator"], "tcg");
    let pid = host.wait_for("ready")["pid"].clone();
    let again = host.run(&["start"]);
    assert_eq!(again.code, 0, "{again:?}");
    let status = host.status();
    assert_eq!(status["pid"], pid, "a machine that runs is not started again");
    let names: Vec<&str> =
        status["milestones"].as_array().unwrap().iter().map(|m| m["skerry"].as_str().unwrap()).collect();
    assert_eq!(names, fake::READY);
    let list = host.run(&["list", "-o", "json"]).json();
    assert_eq!((list[0]["cluster"].as_str(), list[0]["state"].as_str()), (Some("skerry"), Some("ready")));
    assert!(host.run(&["logs"]).out.contains("a word of the kernel"));
    let stop = host.run(&["stop", "-o", "json"]);
    assert_eq!((stop.code, &stop.json()["was_running"]), (0, &true.into()), "{stop:?}");
    let status = host.run(&["status", "-o", "json"]);
    assert_eq!((status.code, &status.json()["code"]), (4, &4.into()), "{status:?}");
    assert!(status.json()["message"].as_str().unwrap().ends_with("the machine was powered off"), "{status:?}");
    assert_eq!(host.run(&["stop", "-o", "json"]).json()["was_running"], false);
    assert_eq!(host.run(&["delete"]).code, 0);
    assert!(!host.folder("skerry").exists());
    assert_eq!(host.run(&["delete"]).code, 4);
}

#[test]
fn secrets_are_for_the_owner_and_on_no_command_line() {
    use std::os::unix::fs::PermissionsExt;
    let host = Host::new();
    assert_eq!(host.run(&["start", "--append", "fake=ready"]).code, 0);
    let folder = host.folder("skerry");
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let pid = host.status()["pid"].clone();
    let line = std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    for name in ["login.code", "store.key", "state.raw", "control.sock", "cluster.json"] {
        let path = folder.join(name);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o077, 0, "{name}");
    }
    for name in ["login.code", "store.key"] {
        let secret = std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(secret.len() >= 19 && !line.contains(&secret), "{name}");
    }
}

#[test]
fn a_killed_supervisor_is_replaced_and_the_machine_does_not_notice() {
    let host = Host::new();
    assert_eq!(host.run(&["start", "--append", "fake=ready"]).code, 0);
    let before = host.wait_for("ready");
    host.kill(&before["supervisor"]);
    let after = host.status();
    assert_eq!(after["pid"], before["pid"]);
    assert_ne!(after["supervisor"], before["supervisor"]);
    assert_eq!(after["milestones"], before["milestones"]);
    assert_eq!(host.run(&["stop"]).code, 0);
}

#[test]
fn a_killed_emulator_is_told_and_can_be_started_again() {
    let host = Host::new();
    assert_eq!(host.run(&["start", "--append", "fake=ready"]).code, 0);
    host.kill(&host.status()["pid"]);
    let status = host.run_until(&["status"], 4);
    assert!(status.err.contains("its emulator was killed"), "{status:?}");
    assert_eq!(host.run(&["start"]).code, 0);
    assert_eq!(host.wait_for("ready")["state"], "ready");
}

#[test]
fn a_machine_that_fails_is_5_with_its_own_words_and_its_console() {
    let host = Host::new();
    let failed = host.run(&["start", "--wait", "api", "--append", "fake=failed"]);
    assert_eq!(failed.code, 5, "{failed:?}");
    for word in ["disk: there is no state disk", "attach one", "a word of the kernel", "serial.log"] {
        assert!(failed.err.contains(word), "{word} in {failed:?}");
    }
    let died = host.run(&["start", "--name", "other", "--wait", "api", "--append", "fake=panic"]);
    assert_eq!(died.code, 5, "{died:?}");
    assert!(died.err.contains("kernel panic"), "{died:?}");
}

#[test]
fn a_machine_that_says_nothing_is_6_and_names_what_was_waited_for() {
    let host = Host::new();
    let late = host.run(&["start", "--wait", "api", "--timeout", "1s", "--append", "fake=silent"]);
    assert_eq!(late.code, 6, "{late:?}");
    assert!(late.err.contains("waiting for: the kernel"), "{late:?}");
    let stop = host.run(&["stop", "--timeout", "1s"]);
    assert_eq!(stop.code, 6, "{stop:?}");
    assert!(stop.err.contains("--force"), "{stop:?}");
    assert_eq!(host.run(&["stop", "--force"]).code, 0);
}

#[test]
fn an_interrupted_start_leaves_nothing() {
    let host = Host::new();
    let mut start = host.spawn(&["start", "--wait", "api", "--append", "fake=silent"]);
    host.wait_for("booting");
    let pid = host.status()["pid"].clone();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(start.id() as i32), nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(start.wait().unwrap().code(), Some(130));
    assert!(!host.folder("skerry").exists());
    assert!(!host::is_alive(&pid));
}

#[test]
fn two_starts_at_once_do_not_get_into_each_others_way() {
    let host = Host::new();
    let mut first = host.spawn(&["start", "--wait", "api", "--append", "fake=silent"]);
    host.wait_for("booting");
    let second = host.run(&["start", "-o", "json"]);
    assert_eq!((second.code, &second.json()["reason"]), (8, &"Taken".into()), "{second:?}");
    assert!(host.folder("skerry").exists());
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(host.run(&["start", "--wait", "none"]).code, 0, "the lock ends with its holder");
}

#[test]
fn a_port_that_is_taken_gives_way_unless_it_was_asked_for() {
    let host = Host::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let asked = host.run(&["start", "--port", &port]);
    assert_eq!(asked.code, 8, "{asked:?}");
    assert!(asked.err.contains(&port) && !host.folder("skerry").exists(), "{asked:?}");
    assert_eq!(host.run(&["start", "--append", "fake=ready"]).code, 0);
    assert_eq!(host.run(&["start", "--append", "fake=ready", "--name", "second"]).code, 0);
    let server = |at: usize| host.run(&["list", "-o", "json"]).json()[at]["server"].clone();
    assert_ne!(server(0), server(1));
}

#[test]
fn bad_input_is_refused_before_anything_is_made() {
    let host = Host::new();
    for (arguments, code) in [
        (&["start", "--name", "../x"][..], 2),
        (&["start", "--name", ""], 2),
        (&["start", "--memory", "much"], 2),
        (&["start", "--memory", "64M"], 2),
        (&["start", "--cpus", "0"], 2),
        (&["start", "--timeout", "0"], 2),
        (&["start", "--port", "0"], 2),
        (&["start", "--no-such-flag"], 2),
        (&["start", "--image", "/nowhere"], 7),
        (&["stop"], 4),
        (&["status"], 4),
        (&["logs"], 4),
        (&["kubeconfig", "--print"], 4),
        (&["delete", "--name", "none"], 4),
        (&["login", "127.0.0.1:1", "--code", "x"], 2),
        (&["login", "127.0.0.1:1", "--code", "0000-0000-0000-0000"], 4),
    ] {
        let done = host.run(arguments);
        assert_eq!(done.code, code, "{arguments:?}: {done:?}");
    }
    let left: Vec<_> =
        std::fs::read_dir(host.folder(".")).map(|entries| entries.flatten().collect()).unwrap_or_default();
    assert!(left.is_empty(), "{left:?}");
    std::fs::write(host.image().join("bzImage"), b"cut").unwrap();
    let cut = host.run(&["start"]);
    assert_eq!(cut.code, 7, "{cut:?}");
    assert!(cut.err.contains("bzImage has 3 bytes instead of 6"), "{cut:?}");
}

#[test]
fn what_the_host_lacks_is_named() {
    let host = Host::new();
    let none = host.run_with(&["start", "-o", "json"], &[("PATH", "/nowhere")]);
    assert_eq!(none.code, 3, "{none:?}");
    assert!(none.json()["advice"].as_str().unwrap().contains("qemu-system-x86"), "{none:?}");
    let homeless = host.run_with(&["list"], &[("HOME", ""), ("XDG_DATA_HOME", "")]);
    assert_eq!(homeless.code, 3, "{homeless:?}");
    let read_only = host.run_with(&["start"], &[("XDG_DATA_HOME", "/proc/self")]);
    assert_eq!(read_only.code, 3, "{read_only:?}");
    assert!(read_only.err.contains("XDG_DATA_HOME"), "{read_only:?}");
}

#[test]
fn kvm_is_taken_only_when_a_probe_machine_reaches_init() {
    let host = Host::new();
    let start = host.run(&["start", "--accel", "auto", "--append", "fake=ready", "-o", "json"]);
    assert_eq!(start.code, 0, "{start:?}");
    let can = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
    assert_eq!(start.json()["accelerator"], if can { "kvm" } else { "tcg" });
}

#[test]
fn a_disk_grows_with_a_later_start_and_never_shrinks() {
    let host = Host::new();
    assert_eq!(host.run(&["start", "--disk", "2G", "--append", "fake=ready"]).code, 0);
    let size = || host.folder("skerry").join("state.raw").metadata().unwrap().len();
    assert_eq!(size(), 2 << 30);
    assert_eq!(host.run(&["stop"]).code, 0);
    assert_eq!(host.run(&["start", "--disk", "1G"]).code, 7);
    assert_eq!(host.run(&["start", "--disk", "3G"]).code, 0);
    assert_eq!(size(), 3 << 30);
}

#[test]
fn a_home_with_a_long_path_does_not_outgrow_a_socket() {
    let host = Host::new();
    let deep = host.image().join("d".repeat(150));
    let deep = [("XDG_DATA_HOME", deep.to_str().unwrap())];
    let start = host.run_with(&["start", "--append", "fake=ready"], &deep);
    assert_eq!(start.code, 0, "{start:?}");
    assert_eq!(host.run_with(&["status"], &deep).code, 0);
    assert_eq!(host.run_with(&["delete"], &deep).code, 0);
}
