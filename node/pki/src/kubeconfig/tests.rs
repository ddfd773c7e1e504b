//! Kubeconfig files: what changes, and above all what does not.

use super::*;

fn entry(name: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        server: "https://127.0.0.1:6443".to_owned(),
        authority: "CA".to_owned(),
        certificate: "CERT".to_owned(),
        key: Zeroizing::new("KEY".to_owned()),
    }
}

const OTHERS: &str = "\
# my clusters
apiVersion: v1
clusters:
# the office
- cluster:
    certificate-authority: /etc/office.crt
    server: https://office.example:6443 # do not touch
  name: office

contexts:
- context:
    cluster: office
    namespace: \"shop\"
    user: me
  name: office
current-context: office
kind: Config
preferences: {}
users:
# a comment on me
- name: me
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      args:
      - get-token
      command: login
# the end
";

#[test]
fn a_new_file_says_what_kubectl_reads() {
    let text = write(&entry("skerry")).unwrap();
    let wants = "\
apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority-data: Q0E=
    server: https://127.0.0.1:6443
  name: skerry
contexts:
- context:
    cluster: skerry
    user: skerry
  name: skerry
users:
- name: skerry
  user:
    client-certificate-data: Q0VSVA==
    client-key-data: S0VZ
current-context: skerry
";
    assert_eq!(text, wants);
    assert_eq!(read(&text, "skerry").unwrap().unwrap(), entry("skerry"));
    assert_eq!(current_context(&text).unwrap().as_deref(), Some("skerry"));
}

#[test]
fn merging_adds_lines_and_changes_none() {
    let merged = merge(OTHERS, &entry("skerry"), false).unwrap();
    let kept: Vec<&str> = merged.lines().collect();
    let mut place = 0;
    for line in OTHERS.lines() {
        place +=
            kept[place..].iter().position(|l| *l == line).unwrap_or_else(|| panic!("lost {line:?} in\n{merged}")) + 1;
    }
    assert_eq!(kept.len(), OTHERS.lines().count() + 12);
    assert_eq!(current_context(&merged).unwrap().as_deref(), Some("office"));
    assert_eq!(read(&merged, "skerry").unwrap(), Some(entry("skerry")));
}

#[test]
fn merging_twice_is_merging_once() {
    let once = merge(OTHERS, &entry("skerry"), true).unwrap();
    assert_eq!(merge(&once, &entry("skerry"), true).unwrap(), once);
    let moved = Entry { server: "https://127.0.0.1:6444".to_owned(), ..entry("skerry") };
    let twice = merge(&once, &moved, true).unwrap();
    assert_eq!(twice, once.replace("https://127.0.0.1:6443", "https://127.0.0.1:6444"));
}

#[test]
fn removing_gives_the_old_file_back() {
    let merged = merge(OTHERS, &entry("skerry"), true).unwrap();
    let removed = remove(&merged, "skerry").unwrap();
    assert_eq!(removed, OTHERS.replace("current-context: office", "current-context: \"\""));
    let alone = remove(&write(&entry("skerry")).unwrap(), "skerry").unwrap();
    assert_eq!(alone, "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\ncurrent-context: \"\"\n");
    assert_eq!(merge(&alone, &entry("skerry"), true).unwrap(), write(&entry("skerry")).unwrap());
}

#[test]
fn a_cluster_that_another_context_uses_stays() {
    let shared = write(&entry("skerry"))
        .unwrap()
        .replace("contexts:\n", "contexts:\n- context:\n    cluster: skerry\n    user: other\n  name: second\n");
    let removed = parse(&remove(&shared, "skerry").unwrap()).unwrap();
    assert_eq!(items(&removed, "clusters").count(), 1);
    assert_eq!(items(&removed, "users").count(), 0);
    assert_eq!(items(&removed, "contexts").count(), 1);
}

#[test]
fn files_that_are_not_in_block_style_keep_their_meaning() {
    let json =
        r#"{"apiVersion":"v1","kind":"Config","clusters":[{"name":"a","cluster":{"server":"https://a"}}],"users":[]}"#;
    let indented = OTHERS.replace("\n- ", "\n  - ").replace("\n  name: office", "\n    name: office");
    let anchors = "clusters:\n- &one\n  name: a\n  cluster: {server: https://a}\n- *one\nusers: null\ncontexts: ~\n";
    for odd in [
        json,
        "{}",
        "# nothing\n",
        "",
        &indented,
        anchors,
        "kind: Config\nusers: []   # none\n",
        &OTHERS.replace('\n', "\r\n"),
    ] {
        let Ok(before) = parse(odd) else { continue };
        let merged = merge(odd, &entry("skerry"), true).unwrap_or_else(|e| panic!("{odd}: {e:#}"));
        let after = parse(&merged).unwrap();
        for list in LISTS {
            for item in items(&before, list) {
                assert!(items(&after, list).any(|other| other == item), "{item} is gone from\n{merged}");
            }
        }
        assert_eq!(read(&merged, "skerry").unwrap(), Some(entry("skerry")), "{merged}");
    }
}

#[test]
fn names_that_yaml_would_take_for_something_else_are_quoted() {
    for name in ["true", "1", "0x10", "no", "a b", "a: b", "-", "kind-ü", "x:"] {
        let merged = merge(OTHERS, &entry(name), true).unwrap();
        assert_eq!(read(&merged, name).unwrap().unwrap().name, name);
        assert_eq!(current_context(&merged).unwrap().as_deref(), Some(name));
        assert!(merged.contains("# a comment on me"));
    }
}

#[test]
fn what_is_no_kubeconfig_is_refused() {
    for wrong in ["[]", "clusters: 3", "kind: Pod", "a: [", "just text", "clusters: [1]"] {
        assert!(merge(wrong, &entry("skerry"), true).is_err(), "{wrong}");
    }
    assert!(use_context(OTHERS, "skerry").unwrap_err().to_string().contains("no context"));
    assert_eq!(use_context(OTHERS, "office").unwrap(), OTHERS);
}

#[test]
fn a_file_is_replaced_whole_and_its_link_and_mode_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("config"));
    fs::write(&real, OTHERS).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    edit_file(&link, |text| merge(text, &entry("skerry"), true)).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(read(&fs::read_to_string(&real).unwrap(), "skerry").unwrap().is_some());
    let before = fs::read_to_string(&real).unwrap();
    assert!(edit_file(&link, |_| bail!("no")).is_err());
    fs::write(folder.path().join("real.lock"), "").unwrap();
    let said = format!("{:#}", edit_file(&link, |text| remove(text, "skerry")).unwrap_err());
    assert!(said.contains("real.lock"), "{said}");
    assert_eq!(fs::read_to_string(&real).unwrap(), before);
    let fresh = folder.path().join("sub/new");
    edit_file(&fresh, |text| merge(text, &entry("skerry"), true)).unwrap();
    assert_eq!(fs::metadata(&fresh).unwrap().permissions().mode() & 0o777, 0o600);
}
