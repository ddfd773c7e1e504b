//! What the plugin answers before it touches the kernel.

use super::*;

fn ask(command: &str, config: &str) -> Result<Value, Failure> {
    let environment = [("CNI_COMMAND", command), ("CNI_CONTAINERID", "c1"), ("CNI_IFNAME", "eth0")];
    run(&environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into(), config.as_bytes())
}

fn refusal(command: &str, config: &str) -> (Code, String) {
    let failure = ask(command, config).unwrap_err();
    (failure.code, failure.what)
}

#[test]
fn versions_are_told_without_a_configuration() {
    let answer = ask("VERSION", "").unwrap();
    assert_eq!(answer["supportedVersions"], json!(["0.3.1", "0.4.0", "1.0.0", "1.1.0"]));
}

#[test]
fn a_wrong_field_is_named() {
    let refused = |config: &str, code, what: &str| assert_eq!(refusal("ADD", config), (code, what.to_owned()));
    refused("{", Code::Decode, "read the network configuration");
    refused(r#"{"cniVersion":"2.0.0"}"#, Code::Version, r#"cniVersion is "2.0.0""#);
    refused(r#"{"cniVersion":"1.0.0"}"#, Code::Config, "ranges cannot be used");
    refused(
        r#"{"cniVersion":"1.0.0","ranges":["10.0.0.0/31"]}"#,
        Code::Config,
        "the range 10.0.0.0/31 in ranges is too small",
    );
    refused(
        r#"{"cniVersion":"1.0.0","ranges":["10.0.0.0/24"],
            "runtimeConfig":{"portMappings":[{"hostPort":80,"containerPort":80,"protocol":"icmp"}]}}"#,
        Code::Config,
        r#"protocol of host port 80 is "icmp""#,
    );
}

#[test]
fn ports_are_read_as_containerd_writes_them() {
    let read = |ports: &str| {
        let text = format!(
            r#"{{"cniVersion":"1.1.0","ranges":["10.0.0.0/24"],"runtimeConfig":{{"portMappings":[{ports}]}}}}"#
        );
        Config::read(text.as_bytes()).unwrap().ports().cloned().collect::<Vec<_>>()
    };
    let by_containerd = read(r#"{"HostPort":8099,"ContainerPort":8080,"Protocol":"tcp","HostIP":"10.0.0.9"}"#);
    assert_eq!(by_containerd, read(r#"{"hostPort":8099,"containerPort":8080,"protocol":"tcp","hostIP":"10.0.0.9"}"#));
    assert_eq!((by_containerd[0].host_port, by_containerd[0].container_port), (8099, 8080));
}

#[test]
fn a_failure_is_printed_in_the_version_that_was_asked_for() {
    let failure = Failure::new(Code::Later, "take an address", "all are in use");
    let printed = failure.json(&config::version_of(br#"{"cniVersion":"0.4.0"}"#));
    assert_eq!(
        printed,
        json!({"cniVersion": "0.4.0", "code": 11, "msg": "skerry-cni: take an address", "details": "all are in use"})
    );
}

#[test]
fn a_name_that_is_a_path_is_refused() {
    let environment = [("CNI_CONTAINERID", "../c1"), ("CNI_IFNAME", "eth0")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(Attachment::of(&environment, false).unwrap_err().code, Code::Environment);
}

#[test]
fn the_written_configuration_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let ranges = ["10.244.0.0/24".parse().unwrap(), "fd00:10:244::/64".parse().unwrap()];
    write_config(folder.path(), &ranges).unwrap();
    let text = std::fs::read(folder.path().join(CONFIG_FILE)).unwrap();
    let list: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!((&list["name"], &list["plugins"][0]["type"]), (&json!("skerry"), &json!("skerry-cni")));
    let mut plugin = list["plugins"][0].clone();
    plugin["cniVersion"] = list["cniVersion"].clone();
    let config = Config::read(plugin.to_string().as_bytes()).unwrap();
    assert_eq!(config.ranges, ranges);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
