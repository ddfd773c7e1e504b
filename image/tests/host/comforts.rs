//! What makes the command pleasant: preferences, the doctor, completions and manual pages, the host's proxy and
//! authorities, and that nothing is left of what was interrupted.

use crate::host::{Host, is_alive};

#[test]
fn preferences_count_for_new_clusters_and_flags_go_before_them() {
    let host = Host::new();
    let cpus = || host.wait_for("ready")["cpus"].clone();
    assert_eq!(host.run(&["config", "set", "cpus", "3"]).code, 0);
    assert_eq!(host.run(&["config", "set", "append", "fake=ready"]).code, 0);
    assert_eq!(host.run(&["config", "get", "cpus"]).out, "3\n");
    assert_eq!(host.run(&["start"]).code, 0);
    assert_eq!(cpus(), 3);
    assert_eq!(host.run(&["config", "set", "cpus", "1"]).code, 0);
    assert_eq!(host.run(&["stop"]).code, 0);
    assert_eq!(host.run(&["start"]).code, 0);
    assert_eq!(cpus(), 3, "a cluster keeps what it was made with");
    assert_eq!(host.run(&["delete"]).code, 0);
    assert_eq!(host.run_with(&["start"], &[("SKERRY_CPUS", "2")]).code, 0);
    assert_eq!(cpus(), 2, "a variable goes before a preference");
    assert_eq!(host.run(&["delete"]).code, 0);
    assert_eq!(host.run_with(&["start", "--cpus", "4"], &[("SKERRY_CPUS", "2")]).code, 0);
    assert_eq!(cpus(), 4, "a flag goes before both");
    let list = host.run(&["config", "list", "-o", "json"]).json();
    let line = list.as_array().unwrap().iter().find(|line| line["key"] == "cpus").cloned().unwrap();
    assert_eq!((line["value"].as_str(), line["source"].as_str()), (Some("1"), Some("config")));
    assert_eq!(host.run(&["config", "unset", "cpus"]).code, 0);
    assert_eq!(host.run(&["config", "get", "cpus"]).code, 7);
}

#[test]
fn a_bad_preference_is_refused_by_its_name_and_stops_only_what_needs_it() {
    let host = Host::new();
    for (key, value) in [("memory", "lots"), ("cups", "2"), ("wait", "never")] {
        let done = host.run(&["config", "set", key, value]);
        assert_eq!(done.code, 7, "{done:?}");
        assert!(done.err.contains(&format!("{key}: ")), "{done:?}");
    }
    let file = host.home().join(".config/skerry/config.toml");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    for (text, words) in [("cpus = = 3\n", "line 1"), ("memory = \"lots\"\n", "memory: "), ("cups = 3\n", "cups: ")] {
        std::fs::write(&file, text).unwrap();
        let done = host.run(&["start", "-o", "json"]);
        assert_eq!((done.code, done.json()["code"].as_i64()), (7, Some(7)), "{done:?}");
        assert!(done.json()["message"].as_str().unwrap().contains(words), "{done:?}");
        assert_eq!(host.run(&["version"]).code, 0);
    }
    assert_eq!(host.run(&["config", "unset", "cups"]).code, 0, "a key that nobody knows can be taken out");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "");
}

#[test]
fn the_doctor_finds_what_is_missing_and_says_what_to_do() {
    let host = Host::new();
    let done = host.run(&["doctor", "-o", "json"]);
    let of = |done: &crate::host::Done, check: &str| {
        let all = done.json().as_array().cloned().unwrap();
        all.into_iter().find(|finding| finding["check"] == check).unwrap_or_else(|| panic!("no {check}: {done:?}"))
    };
    for check in ["emulator", "image", "preferences", "kubeconfig", "clusters"] {
        assert_eq!(of(&done, check)["health"], "ok", "{done:?}");
    }
    assert!(done.out.contains("machine has booted"), "{done:?}");
    let lost = host.run_with(&["doctor", "-o", "json"], &[("PATH", "/nonexistent")]);
    assert_eq!(lost.code, 3, "{lost:?}");
    assert_eq!(of(&lost, "emulator")["health"], "fail");
    assert!(of(&lost, "emulator")["remedy"].as_str().unwrap().contains("apt-get install qemu-system-x86"));
    assert_eq!(of(&lost, "kubectl")["health"], "warn");

    assert_eq!(host.run(&["start", "--append", "fake=ready"]).code, 0);
    let running = host.wait_for("ready");
    assert!(host.run(&["doctor", "--quick"]).out.contains("skerry is ready"));
    host.kill(&running["supervisor"]);
    let alone = host.run(&["doctor", "--quick", "-o", "json"]);
    assert!(of(&alone, "clusters")["message"].as_str().unwrap().contains("supervisor has died"), "{alone:?}");
    std::fs::create_dir_all(host.folder("torso")).unwrap();
    assert!(host.run(&["doctor", "--quick"]).out.contains("torso holds no cluster"));
}

#[test]
fn completions_and_manual_pages_know_every_command_but_hidden_ones() {
    let host = Host::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = host.run(&["completion", shell]);
        assert_eq!(script.code, 0, "{script:?}");
        assert!(script.out.contains("doctor") && script.out.contains("service"), "{shell}");
        assert!(!script.out.contains("supervise"), "{shell}");
    }
    let pages = host.home().join("man");
    assert_eq!(host.run(&["man", "--out", pages.to_str().unwrap()]).code, 0);
    let page = std::fs::read_to_string(pages.join("skerry-start.1")).unwrap();
    assert!(page.contains("memory") && page.contains("SKERRY_MEMORY"), "{page}");
    assert!(pages.join("skerry.1").exists() && !pages.join("skerry-supervise.1").exists());
}

#[test]
fn the_hosts_proxy_and_authorities_are_handed_over_and_no_password_is_seen() {
    let host = Host::new();
    let authority = pki::Authority::generate("corporate", std::time::SystemTime::now()).map(|a| a.certificate_pem());
    let file = host.home().join("corporate.pem");
    std::fs::write(&file, authority.unwrap()).unwrap();
    let start = ["start", "--append", "fake=ready", "--ca", file.to_str().unwrap(), "--insecure-registry", "r:5000"];
    let done = host.run_with(&start, &[("https_proxy", "http://me:hunter2@127.0.0.1:3128"), ("NO_PROXY", "corp")]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.err.contains("proxy host.skerry.internal:3128, 1 more certificate authorities"), "{done:?}");
    let pid = host.wait_for("ready")["pid"].clone();
    let line = std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    for name in ["skerry.proxy.https,file=proxy.https", "skerry.proxy.not,file=proxy.not", "ca.pem,file=ca.pem"] {
        assert!(line.contains(&format!("name=opt/skerry/{name}")), "{name}");
    }
    let read = |name: &str| std::fs::read_to_string(host.folder("skerry").join(name));
    assert_eq!(read("proxy.https").unwrap(), "http://me:hunter2@host.skerry.internal:3128");
    assert_eq!(read("registry.insecure").unwrap(), "r:5000");
    assert_eq!(read("ca.pem").unwrap().matches("BEGIN CERTIFICATE").count(), 1);
    // The host's own variable is in the environment of what was started, and nowhere else.
    let spread = [done.out, done.err, read("supervisor.log").unwrap(), read("cluster.json").unwrap()].concat();
    assert!(!spread.contains("hunter2"), "{spread}");
    assert_eq!(host.run(&["stop"]).code, 0);
    assert_eq!(host.run(&["start"]).code, 0);
    assert!(read("proxy.https").is_err(), "a proxy that is gone is gone");
    assert_eq!(read("ca.pem").unwrap().matches("BEGIN CERTIFICATE").count(), 1, "authorities stay");
    assert_eq!(host.run(&["stop"]).code, 0);
    assert_eq!(host.run(&["start", "--ca", "none", "--insecure-registry", ""]).code, 0);
    assert!(read("ca.pem").is_err() && read("registry.insecure").is_err(), "until they are taken back");
}

#[test]
fn what_cannot_be_handed_over_is_refused_or_named() {
    let host = Host::new();
    let none = host.home().join("none.pem");
    std::fs::write(&none, "no certificate").unwrap();
    let refused = host.run(&["start", "--ca", none.to_str().unwrap()]);
    assert_eq!(refused.code, 7, "{refused:?}");
    assert!(refused.err.contains("none.pem"), "{refused:?}");
    assert!(!host.folder("skerry").exists());
    assert_eq!(host.run(&["start", "--insecure-registry", "http://r:5000"]).code, 2);
    let start = ["start", "--append", "fake=ready"];
    let warned = host.run_with(&start, &[("HTTPS_PROXY", "ftp://u:hunter2@p"), ("SSL_CERT_FILE", "/nonexistent.pem")]);
    assert_eq!(warned.code, 0, "{warned:?}");
    assert!(warned.err.contains("warning: HTTPS_PROXY is no proxy"), "{warned:?}");
    assert!(warned.err.contains("/nonexistent.pem") && !warned.err.contains("hunter2"), "{warned:?}");
}

#[test]
fn an_interrupt_at_any_step_leaves_nothing() {
    for file in ["lock", "state.raw", "login.code", "cluster.json", "supervisor.log", "running.json", "qmp.sock"] {
        let host = Host::new();
        let mut start = host.spawn(&["start", "--wait", "api", "--append", "fake=silent"]);
        host.wait_for_file(&host.folder("skerry").join(file));
        let own = nix::unistd::Pid::from_raw(i32::try_from(start.id()).unwrap());
        nix::sys::signal::kill(own, nix::sys::signal::Signal::SIGINT).unwrap();
        let running = std::fs::read_to_string(host.folder("skerry").join("running.json")).unwrap_or_default();
        assert_eq!(start.wait().unwrap().code(), Some(130), "at {file}");
        assert!(!host.folder("skerry").exists(), "at {file}");
        let pid = serde_json::from_str::<serde_json::Value>(&running).unwrap_or_default()["pid"].clone();
        assert!(pid.is_null() || !is_alive(&pid), "at {file}");
    }
}

#[test]
fn a_program_that_reads_gets_no_colours_and_no_moving_lines() {
    let host = Host::new();
    for environment in [&[][..], &[("NO_COLOR", "1")], &[("TERM", "dumb")], &[("COLUMNS", "10")]] {
        let done = host.run_with(&["start", "--append", "fake=ready"], environment);
        assert_eq!(done.code, 0, "{done:?}");
        assert!(!done.err.contains('\u{1b}') && !done.out.contains('\u{1b}'), "{done:?}");
    }
}

#[test]
fn services_of_a_machine_that_does_not_run_are_4() {
    let host = Host::new();
    assert_eq!(host.run(&["service", "list"]).code, 4);
    assert_eq!(host.run(&["service", "web", "--url"]).code, 4);
    assert_eq!(host.run(&["service"]).code, 2);
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let host = Host::new();
    for words in ["completion bash", "man", "config list", "doctor --quick"] {
        let (reader, writer) = std::io::pipe().unwrap();
        // Nobody reads any more before the first word is written.
        drop(reader);
        let done = host.run_into(&words.split(' ').collect::<Vec<_>>(), writer);
        assert_eq!(done.code, 0, "{words}: {done:?}");
        assert!(!done.err.contains("Broken pipe"), "{words}: {done:?}");
    }
}

#[test]
fn an_image_that_cannot_be_read_says_why() {
    let host = Host::new();
    let manifest = host.image().join("manifest.json");
    std::fs::write(&manifest, "{").unwrap();
    let damaged = host.run(&["start"]);
    assert_eq!(damaged.code, 7, "{damaged:?}");
    assert!(damaged.err.contains("manifest.json is damaged or of another version"), "{damaged:?}");
    std::fs::remove_file(&manifest).unwrap();
    assert!(host.run(&["start"]).err.contains("No such file"), "{damaged:?}");
}
