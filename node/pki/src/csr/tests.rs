//! Signing requests: what is read, what is refused, what the certificate says.

use super::*;
use crate::identity;
use rustls::pki_types::CertificateDer;
use std::net::IpAddr;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn ask(common_name: &str, organization: Option<&str>, sans: &[San]) -> SigningRequest {
    let text = request(&Key::generate().unwrap(), common_name, organization, sans).unwrap();
    SigningRequest::from_pem(text.as_bytes()).unwrap()
}

fn der(text: &str) -> CertificateDer<'static> {
    pem::certificates(text.as_bytes()).unwrap().swap_remove(0)
}

#[test]
fn a_request_is_signed_by_usages_and_seconds() {
    let authority = Authority::generate("kubernetes", now()).unwrap();
    let asked = ask("jane", Some("dev"), &[San::Dns("a.example".into()), San::Ip(IpAddr::from([10, 0, 0, 9]))]);
    let signed = der(&asked.sign(&authority, &["client auth", "digital signature"], Some(3600), now()).unwrap());
    assert!(identity::issued_by(&signed, authority.certificate()).unwrap());
    let named = identity::identity(&signed).unwrap().unwrap();
    assert_eq!((named.user.as_str(), named.groups), ("jane", vec!["dev".to_owned()]));
    assert_eq!(identity::sans(&signed).unwrap(), asked.sans);
    let valid = identity::validity(&signed).unwrap();
    assert_eq!((valid.not_before, valid.not_after), (now() - BACKDATE, now() + Duration::from_secs(3600)));
    let (_, parsed) = x509_parser::parse_x509_certificate(&signed).unwrap();
    assert!(parsed.key_usage().unwrap().unwrap().value.digital_signature());
    assert!(!parsed.key_usage().unwrap().unwrap().value.key_encipherment());
    let purposes = parsed.extended_key_usage().unwrap().unwrap().value;
    assert!(purposes.client_auth && !purposes.server_auth && !parsed.is_ca());
}

#[test]
fn lives_are_bounded_as_upstream_does() {
    let end = |seconds| lifetime(seconds, now()).1.duration_since(now()).unwrap().as_secs();
    assert_eq!(end(Some(600)), 600);
    assert_eq!(end(Some(1)), 600);
    assert_eq!(end(Some(-5)), 600);
    assert_eq!(end(Some(8 * 3600)), 8 * 3600 - 300);
    assert_eq!(end(None), 365 * 86400 - 300);
    assert_eq!(end(Some(i32::MAX)), 365 * 86400 - 300);
}

#[test]
fn a_certificate_never_outlives_its_authority() {
    let authority = Authority::generate("kubernetes", now()).unwrap();
    let late = authority.validity().not_after - Duration::from_secs(1000);
    let signed = der(&ask("jane", None, &[]).sign(&authority, &["client auth"], None, late).unwrap());
    assert_eq!(identity::validity(&signed).unwrap().not_after, authority.validity().not_after);
    let after = authority.validity().not_after;
    assert!(ask("jane", None, &[]).sign(&authority, &["client auth"], None, after).is_err());
}

#[test]
fn a_request_that_was_changed_or_cut_off_is_refused() {
    let whole = ask("jane", Some("dev"), &[]).der;
    assert!(SigningRequest::from_der(&whole).is_ok());
    for keep in 0..whole.len() {
        assert!(SigningRequest::from_der(&whole[..keep]).is_err(), "{keep} bytes");
    }
    let place = whole.windows(4).position(|four| four == b"jane").unwrap();
    let mut changed = whole.clone();
    changed[place..place + 4].copy_from_slice(b"root");
    assert!(format!("{:#}", SigningRequest::from_der(&changed).unwrap_err()).contains("signature"));
    assert!(SigningRequest::from_pem(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err());
    assert!(SigningRequest::from_pem(&vec![b'x'; REQUEST_MAX + 1]).is_err());
}

#[test]
fn usages_are_named_once_and_unknown_ones_refused() {
    let (bits, purposes) =
        usages_of(&["signing", "digital signature", "s/mime", "email protection", "client auth"]).unwrap();
    assert_eq!((bits, purposes.len()), (KeyUsage::SIGNATURE, 2));
    let said = usages_of(&["client auth", "world domination"]).unwrap_err().to_string();
    assert!(said.contains("unrecognized usage values") && said.contains("world domination"), "{said}");
}

#[test]
fn the_decipher_bit_survives_the_encoding() {
    let authority = Authority::generate("kubernetes", now()).unwrap();
    let signed = der(&ask("x", None, &[]).sign(&authority, &["key agreement", "decipher only"], None, now()).unwrap());
    let (_, parsed) = x509_parser::parse_x509_certificate(&signed).unwrap();
    let usage = parsed.key_usage().unwrap().unwrap().value;
    assert!(usage.decipher_only() && usage.key_agreement() && !usage.encipher_only() && !usage.digital_signature());
}

#[test]
fn kubelet_requests_are_checked_as_upstream_does() {
    let client = ["digital signature", "client auth"];
    let serving = ["digital signature", "key encipherment", "server auth"];
    let name = [San::Dns("skerry".to_owned())];
    let node = ask("system:node:skerry", Some("system:nodes"), &[]);
    assert_eq!(check_kubelet_client(&node, &client), Ok(()));
    assert_eq!(check_kubelet_serving(&node, &serving), Err("DNS or IP subjectAltName is required".to_owned()));
    assert_eq!(
        check_kubelet_client(&node, &serving),
        Err("usages did not match [client auth digital signature key encipherment]".to_owned())
    );
    let named = ask("system:node:skerry", Some("system:nodes"), &name);
    assert_eq!(check_kubelet_serving(&named, &serving), Ok(()));
    assert_eq!(check_kubelet_client(&named, &client), Err("DNS subjectAltNames are not allowed".to_owned()));
    let stranger = ask("jane", Some("system:nodes"), &[]);
    assert_eq!(
        check_kubelet_client(&stranger, &client),
        Err("subject common name does not begin with system:node:".to_owned())
    );
    let outsider = ask("system:node:skerry", None, &[]);
    assert_eq!(check_kubelet_client(&outsider, &client), Err("subject organization is not system:nodes".to_owned()));
    assert_eq!(check_client(&client), Ok(()));
    assert!(check_client(&serving).unwrap_err().contains("invalid usage"));
    assert!(check_client(&["digital signature"]).unwrap_err().contains("missing required usage"));
}
