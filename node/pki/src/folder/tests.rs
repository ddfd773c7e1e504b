//! The folder: what is made, what is kept, what is refused.

use super::*;
use crate::authority::{DAY, LEAF_LIFE};
use crate::template::San;
use std::net::IpAddr;
use std::time::Duration;

fn request() -> Request {
    Request {
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        node: "skerry".to_owned(),
        addresses: vec![IpAddr::from([10, 250, 0, 1])],
        names: vec!["box.example".to_owned()],
        service_addresses: vec![IpAddr::from([10, 96, 0, 1])],
        domain: "cluster.local".to_owned(),
    }
}

fn refusal(folder: &Path) -> String {
    format!("{:#}", Pki::load_or_create(folder, &request()).expect_err("must be refused"))
}

#[test]
fn a_second_load_finds_what_the_first_made() {
    let folder = tempfile::tempdir().unwrap();
    let first = Pki::load_or_create(folder.path(), &request()).unwrap();
    let second = Pki::load_or_create(folder.path(), &request()).unwrap();
    for entry in ROLES {
        assert_eq!(first.slot(entry.role).certificate(), second.slot(entry.role).certificate(), "{}", entry.file);
    }
    assert_eq!(first.tokens().key_set(), second.tokens().key_set());
}

#[test]
fn a_folder_that_was_cut_off_while_it_was_made_is_made_anew() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("pki");
    fs::create_dir(folder.with_extension("new")).unwrap();
    fs::write(folder.with_extension("new").join("ca.pem"), "half of a k").unwrap();
    let first = Pki::load_or_create(&folder, &request()).unwrap();
    assert!(!folder.with_extension("new").exists());
    let mode = folder.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, FOLDER);
    let second = Pki::load_or_create(&folder, &request()).unwrap();
    let text = |pki: &Pki| pki.authority(AuthorityName::Cluster).certificate_pem();
    assert_eq!(text(&first), text(&second));
    assert!(first.file(Role::Admin).starts_with(&folder));
}

#[test]
fn every_role_says_what_its_line_says() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::load_or_create(folder.path(), &request()).unwrap();
    let said = |role| identity::subject_of(&pki.slot(role).certificate()).unwrap();
    assert_eq!(said(Role::Kubelet).common_name, "system:node:skerry");
    assert_eq!(said(Role::Kubelet).organizations, ["system:nodes"]);
    assert_eq!(said(Role::Admin).organizations, ["system:masters"]);
    assert_eq!(said(Role::Scheduler).common_name, "system:kube-scheduler");
    let names = identity::sans(&pki.slot(Role::ApiServer).certificate()).unwrap();
    for name in ["kubernetes", "kubernetes.default.svc.cluster.local", "localhost", "skerry", "box.example"] {
        assert!(names.contains(&San::Dns(name.to_owned())), "{name} in {names:?}");
    }
    for address in [[10, 96, 0, 1], [127, 0, 0, 1], [10, 250, 0, 1]] {
        assert!(names.contains(&San::Ip(IpAddr::from(address))), "{address:?} in {names:?}");
    }
    for role in [Role::FrontProxyClient, Role::DockerServer] {
        let certificate = pki.slot(role).certificate();
        assert!(!identity::issued_by(&certificate, pki.authority(AuthorityName::Cluster).certificate()).unwrap());
        assert!(identity::issued_by(&certificate, pki.authority(role.entry().authority).certificate()).unwrap());
    }
}

#[test]
fn files_with_keys_are_closed_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::load_or_create(folder.path(), &request()).unwrap();
    fs::set_permissions(pki.file(Role::Admin), fs::Permissions::from_mode(0o644)).unwrap();
    Pki::load_or_create(folder.path(), &request()).unwrap();
    for found in fs::read_dir(folder.path()).unwrap() {
        let found = found.unwrap();
        let name = found.file_name().into_string().unwrap();
        let wants = if name.ends_with(".pem") { 0o600 } else { 0o644 };
        assert_eq!(found.metadata().unwrap().permissions().mode() & 0o777, wants, "{name}");
    }
}

#[test]
fn renewal_reaches_the_slots_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::load_or_create(folder.path(), &request()).unwrap();
    let slot = pki.slot(Role::ApiServer);
    let before = slot.certificate();
    assert!(pki.renew_due(request().now + DAY).unwrap().is_empty());
    let due = pki.next_renewal();
    assert!(due < request().now + LEAF_LIFE);
    assert_eq!(pki.renew_due(due).unwrap().len(), ROLES.len());
    assert_ne!(slot.certificate(), before);
    assert!(pki.next_renewal() > due + DAY);
    let again = Pki::load_or_create(folder.path(), &Request { now: due, ..request() }).unwrap();
    assert_eq!(again.slot(Role::ApiServer).certificate(), slot.certificate());
}

#[test]
fn an_authority_is_renewed_with_its_key_so_that_old_certificates_stay_good() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::load_or_create(folder.path(), &request()).unwrap();
    let old = pki.slot(Role::Admin).certificate();
    let before = pki.authority(AuthorityName::Cluster).certificate().clone();
    pki.renew_due(request().now + DAY * 3000).unwrap();
    let after = pki.authority(AuthorityName::Cluster).certificate().clone();
    assert_ne!(before, after);
    assert!(identity::issued_by(&old, &after).unwrap());
    assert_eq!(
        fs::read(pki.authority_file(AuthorityName::Cluster)).unwrap(),
        crate::pem::certificate(&after).as_bytes()
    );
}

#[test]
fn new_names_issue_the_servers_anew_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::load_or_create(folder.path(), &request()).unwrap();
    let moved = Request { addresses: vec![IpAddr::from([10, 250, 0, 2])], ..request() };
    assert_eq!(pki.update(&moved).unwrap(), [Role::ApiServer, Role::KubeletServer, Role::DockerServer]);
}

#[test]
fn a_cut_off_certificate_is_refused_with_file_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::load_or_create(folder.path(), &request()).unwrap();
    let path = pki.file(Role::Scheduler);
    let whole = fs::read(&path).unwrap();
    for keep in [0, 40, whole.len() / 2, whole.len() - 30] {
        fs::write(&path, &whole[..keep]).unwrap();
        let said = refusal(folder.path());
        assert!(said.contains("scheduler.pem") && said.contains("remove the file"), "{keep}: {said}");
    }
    fs::remove_file(&path).unwrap();
    Pki::load_or_create(folder.path(), &request()).unwrap();
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::load_or_create(folder.path(), &request()).unwrap();
    let (slot, other) = (pki.slot(Role::Proxy).pem(), pki.slot(Role::Kubelet).pem());
    let key = other.find("-----BEGIN PRIVATE KEY").unwrap();
    let certificate = &slot[..slot.find("-----BEGIN PRIVATE KEY").unwrap()];
    fs::write(pki.file(Role::Proxy), format!("{certificate}{}", &other[key..])).unwrap();
    let said = refusal(folder.path());
    assert!(said.contains("proxy.pem") && said.contains("do not belong together"), "{said}");
}

#[test]
fn a_certificate_of_another_cluster_is_refused() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let pki = Pki::load_or_create(folder.path(), &request()).unwrap();
    let foreign = Pki::load_or_create(other.path(), &request()).unwrap();
    fs::copy(foreign.file(Role::Admin), pki.file(Role::Admin)).unwrap();
    let said = refusal(folder.path());
    assert!(said.contains("admin.pem") && said.contains("not signed by ca.pem"), "{said}");
}

#[test]
fn a_missing_authority_is_not_made_up_again() {
    let folder = tempfile::tempdir().unwrap();
    Pki::load_or_create(folder.path(), &request()).unwrap();
    fs::remove_file(folder.path().join("ca.pem")).unwrap();
    let said = refusal(folder.path());
    assert!(said.contains("ca.pem is missing") && said.contains("kubeconfig"), "{said}");
}

#[test]
fn a_write_that_was_cut_off_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::load_or_create(folder.path(), &request()).unwrap();
    fs::write(folder.path().join(".admin.pem.new"), "half a certif").unwrap();
    assert_eq!(pki.renew_due(pki.next_renewal()).unwrap().len(), ROLES.len());
    Pki::load_or_create(folder.path(), &Request { now: pki.next_renewal() - DAY, ..request() }).unwrap();
}

#[test]
fn every_role_has_one_line_and_its_own_file() {
    let mut files: Vec<_> = ROLES.iter().map(|entry| entry.file).collect();
    files.extend(AuthorityName::ALL.map(AuthorityName::file));
    files.sort_unstable();
    files.dedup();
    assert_eq!(files.len(), ROLES.len() + AuthorityName::ALL.len());
    assert!(ROLES.iter().all(|entry| std::ptr::eq(entry.role.entry(), entry)));
}
