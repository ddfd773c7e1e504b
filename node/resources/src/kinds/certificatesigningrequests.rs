//! CertificateSigningRequests: a key that wants a certificate. Rules of
//! `k8s.io/kubernetes/pkg/registry/certificates/certificates`. Who asks is filled in by the API server; whether the
//! request and the certificate are well-formed X.509 is not looked at here.

use super::place::Place;
use crate::cells;
use crate::rules::{Faults, PLAIN, Rules, SelectableField};
use api::{FieldError, Tree, meta, names};

/// Shortest life of a certificate that may be asked for, seconds.
const SECONDS_MIN: i64 = 600;
const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// What is special about CertificateSigningRequests.
pub const RULES: Rules = Rules {
    name: names::dns1123_subdomain,
    on_update,
    validate,
    validate_status,
    fields: &[SelectableField { label: "spec.signerName", path: &["spec", "signerName"], absent: "" }],
    cells: row,
    ..PLAIN
};

/// A request stays as it was asked.
fn on_update(object: &mut Tree, old: &Tree) {
    if let Some(spec) = old.get("spec") {
        object.set("spec", spec.clone());
    }
}

fn validate(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    spec.at("request").must(faults, "");
    let usages = spec.at("usages");
    usages.must(faults, "");
    let mut seen = Vec::new();
    for usage in usages.items() {
        usage.one_of(faults, USAGES);
        if seen.contains(&usage.text()) {
            usage.duplicate(faults);
        }
        seen.push(usage.text());
    }
    signer(&spec.at("signerName"), faults);
    let seconds = spec.at("expirationSeconds");
    if seconds.int().is_some_and(|s| s < SECONDS_MIN) {
        seconds.invalid(faults, "may not specify a duration less than 600 seconds (10 minutes)");
    }
    conditions(&Place::root(object).down(&["status", "conditions"]), faults);
}

/// `domain/path`, where the domain has at least two parts.
fn signer(name: &Place, faults: &mut Faults) {
    if !name.must(faults, "") {
        return;
    }
    if name.text() == "kubernetes.io/legacy-unknown" {
        return name.invalid(faults, "the legacy signerName is not allowed via this API version");
    }
    let Some((domain, path)) = name.text().split_once('/').filter(|(_, path)| !path.contains('/')) else {
        return name.invalid(faults, "must be a fully qualified domain and path of the form 'example.com/signer-name'");
    };
    for part in domain.split('.').filter(|part| !names::dns1123_label(part).is_empty()) {
        let wrong = names::dns1123_label(part).into_iter();
        faults.extend(
            wrong.map(|why| {
                FieldError::invalid(name.path.clone(), domain, format!("validating label \"{part}\": {why}"))
            }),
        );
    }
    if domain.split('.').count() < 2 {
        name.invalid(faults, "should be a domain with at least two segments separated by dots");
    }
    let wrong = names::dns1123_subdomain(path).into_iter();
    faults.extend(
        wrong.map(|why| FieldError::invalid(name.path.clone(), path, format!("validating part \"{path}\": {why}"))),
    );
}

fn conditions(list: &Place, faults: &mut Faults) {
    let mut seen = Vec::new();
    for condition in list.items() {
        let (kind, status) = (condition.at("type"), condition.at("status"));
        kind.must(faults, "");
        let only_true = matches!(kind.text(), "Approved" | "Denied" | "Failed");
        status.must_be_one_of(faults, if only_true { &["True"] } else { &["False", "True", "Unknown"] });
        let other = match kind.text() {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if !other.is_empty() && seen.contains(&other) {
            let why = "Approved and Denied conditions are mutually exclusive";
            faults.push(FieldError::invalid(list.path.clone(), kind.text(), why));
        }
        if seen.contains(&kind.text()) {
            kind.duplicate(faults);
        }
        seen.push(kind.text());
    }
}

/// Decisions and certificates stay once they are made.
fn validate_status(object: &Tree, old: &Tree, faults: &mut Faults) {
    let status = Place::root(object).at("status");
    let list = status.at("conditions");
    conditions(&list, faults);
    let count = |object: &Tree, kind: &str| {
        object.list_at(&["status", "conditions"]).iter().filter(|c| c.str_at(&["type"]) == Some(kind)).count()
    };
    for kind in ["Approved", "Denied", "Failed"].into_iter().filter(|kind| count(object, kind) < count(old, kind)) {
        list.forbidden(faults, format!("updates may not remove a condition of type \"{kind}\""));
    }
    let before = old.str_at(&["status", "certificate"]).unwrap_or_default();
    let certificate = status.at("certificate");
    if !before.is_empty() && certificate.text() != before {
        certificate.forbidden(faults, "updates may not modify existing certificate content");
    }
}

fn state(object: &Tree) -> String {
    let conditions = object.list_at(&["status", "conditions"]);
    let has = |kind: &str| conditions.iter().any(|c| c.str_at(&["type"]) == Some(kind));
    let decided = if has("Denied") {
        "Denied"
    } else if has("Approved") {
        "Approved"
    } else {
        "Pending"
    };
    let failed = if has("Failed") { ",Failed" } else { "" };
    let issued = object.str_at(&["status", "certificate"]).is_some_and(|c| !c.is_empty());
    format!("{decided}{failed}{}", if issued { ",Issued" } else { "" })
}

fn row(object: &Tree, now: i64) -> Vec<Tree> {
    let text = |field: &str| object.str_at(&["spec", field]);
    vec![
        Tree::text(meta::name(object)),
        cells::age(object, now),
        cells::or_none(text("signerName")),
        Tree::text(text("username").unwrap_or_default()),
        Tree::text(object.int_at(&["spec", "expirationSeconds"]).map_or("<none>".to_owned(), cells::span)),
        Tree::text(state(object)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    #[test]
    fn a_request_is_approved_or_denied_and_stays_so() {
        let with = |kinds: &[&str]| {
            let list = kinds.iter().map(|kind| tree!({"type": (*kind), "status": "True"})).collect();
            tree!({"status": {"conditions": (Tree::List(list))}})
        };
        let faults = |object: &Tree, old: &Tree| {
            let mut faults = Faults::new();
            validate_status(object, old, &mut faults);
            faults.len()
        };
        assert_eq!(faults(&with(&["Approved"]), &with(&[])), 0);
        assert_eq!(faults(&with(&["Approved", "Denied"]), &with(&[])), 1);
        assert_eq!(faults(&with(&[]), &with(&["Approved"])), 1);
        assert_eq!(state(&with(&["Approved"])), "Approved");
    }

    #[test]
    fn signers_have_a_domain() {
        let mut faults = Faults::new();
        let spec = |signer: &str| tree!({"spec": {"request": "eA==", "usages": ["client auth"], "signerName": signer}});
        validate(&spec("kubernetes.io/kube-apiserver-client"), &mut faults);
        validate(&spec("example.com/e2e-123"), &mut faults);
        assert_eq!(faults, []);
        validate(&spec("nothing"), &mut faults);
        assert_eq!(faults.len(), 1);
    }
}
