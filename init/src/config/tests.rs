//! Tests of reading, checking and merging keys.

use super::keys::*;
use super::sources::{command_line, fw_cfg, toml_text};
use super::*;

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

fn only(source: Source, name: &str, value: &str) -> (Config, Vec<Complaint>) {
    Config::merge(vec![(source, pairs(&[(name, value)]))])
}

#[test]
fn every_default_is_a_good_value_and_every_part_is_listed() {
    for key in KEYS {
        assert_eq!(key.kind.check(key.default), Ok(()), "{}", key.name);
        let (part, _) = split(key.name).expect("skerry.<part>.<name>");
        assert!(OWN_PARTS.contains(&part) || PASSED_PARTS.contains(&part), "{}", key.name);
        assert!(!is_secret(key.name) || !key.for_node, "{}: secrets of node pass as they are", key.name);
    }
}

#[test]
fn the_command_line_beats_fw_cfg_beats_the_config_disk() {
    let given = vec![
        (Source::CommandLine, pairs(&[("skerry.node.index", "4")])),
        (Source::ConfigDisk, pairs(&[("skerry.node.index", "2"), ("skerry.node.name", "disk")])),
        (Source::FwCfg, pairs(&[("skerry.node.index", "3"), ("skerry.network.dns", "192.0.2.1")])),
    ];
    let (config, complaints) = Config::merge(given);
    assert_eq!(complaints, []);
    assert_eq!(config.number(&NODE_INDEX), 4);
    assert_eq!(config.text(&NODE_NAME), "disk");
    assert_eq!(config.text(&DNS), "192.0.2.1");
    assert_eq!(config.text(&ON_FAILURE), "hold");
}

#[test]
fn an_unknown_key_is_named_with_its_nearest_neighbour_and_ignored() {
    let (config, complaints) = only(Source::CommandLine, "skerry.boot.on_failur", "hold");
    assert_eq!(config, Config::default());
    assert_eq!(complaints.len(), 1);
    assert!(complaints[0].to_string().contains("did you mean skerry.boot.on_failure?"), "{}", complaints[0]);
    assert!(!complaints[0].stops);
}

#[test]
fn a_bad_value_keeps_the_lower_source_where_that_is_safe() {
    let given = vec![
        (Source::ConfigDisk, pairs(&[("skerry.network.address", "192.0.2.7/24")])),
        (Source::CommandLine, pairs(&[("skerry.network.address", "192.0.2.7/40")])),
    ];
    let (config, complaints) = Config::merge(given);
    assert_eq!(config.text(&ADDRESS), "192.0.2.7/24");
    assert!(complaints[0].problem.contains("using \"192.0.2.7/24\""), "{}", complaints[0]);
    assert!(!complaints[0].stops);
}

#[test]
fn a_bad_value_stops_the_machine_where_a_default_could_do_harm() {
    for (name, value) in [("skerry.disk.kind", "ram"), ("skerry.node.index", "0"), ("skerry.node.name", "Upper")] {
        let (_, complaints) = only(Source::FwCfg, name, value);
        assert!(complaints.len() == 1 && complaints[0].stops, "{name}={value}: {complaints:?}");
    }
}

#[test]
fn a_secret_on_the_command_line_is_refused_without_being_repeated() {
    let (config, complaints) = only(Source::CommandLine, "skerry.login.code", "hunter2");
    assert_eq!(config, Config::default());
    assert!(!complaints[0].to_string().contains("hunter2"));
    let (config, complaints) = only(Source::FwCfg, "skerry.login.code", "hunter2");
    assert_eq!(complaints, []);
    assert!(config.node_toml().contains("code = \"hunter2\""));
}

#[test]
fn a_proxy_is_never_shown_and_never_on_the_command_line() {
    for value in ["http://user:hunter2@proxy:3128", "hunter2"] {
        for source in [Source::CommandLine, Source::FwCfg] {
            let (_, complaints) = only(source, "skerry.proxy.https", value);
            assert!(!format!("{complaints:?}").contains("hunter2"), "{complaints:?}");
            assert_eq!(complaints.is_empty(), source == Source::FwCfg && value.len() > 7, "{complaints:?}");
        }
    }
    let (config, _) = only(Source::FwCfg, "skerry.proxy.http", "http://user:hunter2@proxy:3128");
    assert_eq!(config.text(&PROXY_HTTP), "http://user:hunter2@proxy:3128");
    assert!(!config.node_toml().contains("hunter2"));
}

#[test]
fn node_gets_its_parts_as_tables_of_text_with_the_keys_it_shares() {
    let given = pairs(&[("skerry.node.role", "worker"), ("skerry.store.key", "ab"), ("skerry.node.index", "2")]);
    let (config, _) = Config::merge(vec![(Source::FwCfg, given)]);
    let table: toml::Table = toml::from_str(&config.node_toml()).unwrap();
    assert_eq!(table["node"]["role"].as_str(), Some("worker"));
    assert_eq!(table["node"]["index"].as_str(), Some("2"));
    assert_eq!(table["store"]["key"].as_str(), Some("ab"));
    assert_eq!(table["docker"]["enabled"].as_str(), Some("yes"));
    assert!(!table.contains_key("boot"));
}

#[test]
fn a_command_line_gives_its_skerry_words_only() {
    let line = "console=ttyS0 skerry.node.name=\"a b\" root=/dev/vda skerry.docker.tcp quiet\n";
    assert_eq!(command_line(line), pairs(&[("skerry.node.name", "a b"), ("skerry.docker.tcp", "yes")]));
}

#[test]
fn a_config_disk_may_name_tables_with_or_without_skerry() {
    let text = "[node]\nindex = 3\n[skerry.network]\ndns = [\"192.0.2.1\", \"192.0.2.2\"]\n";
    let want = pairs(&[("skerry.node.index", "3"), ("skerry.network.dns", "192.0.2.1,192.0.2.2")]);
    assert_eq!(toml_text(text), Ok(want));
}

#[test]
fn a_broken_config_disk_is_reported_with_the_line() {
    let problem = toml_text("[node]\nindex = = 3\n").unwrap_err();
    assert!(problem.starts_with("line 2: "), "{problem}");
}

#[test]
fn fw_cfg_takes_names_with_and_without_the_prefix_and_refuses_bytes() {
    let want = ("skerry.login.code".to_owned(), "x".to_owned());
    assert_eq!(fw_cfg("login.code", b"x\n"), Ok(want.clone()));
    assert_eq!(fw_cfg("skerry.login.code", b"x"), Ok(want));
    assert!(fw_cfg("a.b", &[0xff]).is_err());
}
