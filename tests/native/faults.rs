//! Bad input: each gets an error that says what is wrong and what to do.

use crate::plane::{Plane, free_port, program};
use api::tree;
use client::Credentials;
use std::net::TcpListener;
use std::process::Command;

/// What `node` says when it is started so, and that it fails.
fn refused(arguments: &[&str]) -> String {
    let output = Command::new(program()).args(arguments).output().expect("node starts");
    assert!(!output.status.success(), "{arguments:?} was accepted");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_unknown_flag_is_named() {
    assert!(refused(&["--data", "/tmp/x", "--nonsense"]).contains("--nonsense"));
}

#[test]
fn a_taken_port_is_named_with_the_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a plain path");
    let said = refused(&["--data", data, "--no-kubelet", "--port", &port]);
    assert!(said.contains(&port) && said.contains("--port"), "{said}");
}

#[test]
fn a_range_that_is_none_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("a plain path");
    let port = free_port().to_string();
    let said = refused(&["--data", data, "--no-kubelet", "--port", &port, "--service-cidr", "nonsense"]);
    assert!(said.contains("--service-cidr nonsense"), "{said}");
}

#[tokio::test]
async fn strangers_are_refused() {
    let plane = Plane::start();
    let (code, _) = plane.call_as(Credentials::Token("nonsense".into()), "GET", "/api/v1/pods", None).await;
    assert_eq!(code, 401);
    let (code, refused) = plane.call_as(Credentials::Anonymous, "GET", "/api/v1/pods", None).await;
    assert_eq!(code, 403, "{}", refused.to_json_text());
    let other = Plane::start();
    let (code, _) = plane.call_as(other.admin(), "GET", "/api/v1/pods", None).await;
    assert_eq!(code, 401, "the certificate of another cluster");
}

#[tokio::test]
async fn an_unknown_field_is_named_and_a_large_body_is_refused() {
    let plane = Plane::start();
    let path = "/api/v1/namespaces/default/configmaps?fieldValidation=Strict";
    let body = tree!({"metadata": {"name": "a"}, "nonsense": 1});
    let (code, refused) = plane.call_as(plane.admin(), "POST", path, Some(&body)).await;
    assert_eq!(code, 400);
    assert!(refused.str_at(&["message"]).unwrap_or_default().contains("unknown field \"nonsense\""));
    let large = tree!({"metadata": {"name": "a"}, "data": {"k": ("x".repeat(4 << 20))}});
    let (code, _) = plane.call_as(plane.admin(), "POST", path, Some(&large)).await;
    assert_eq!(code, 413);
}
