//! What is done for each state of the Service and its slices.

use super::*;

fn address() -> Vec<IpAddr> {
    vec![IpAddr::from([10, 96, 0, 10])]
}

fn made() -> (Service, Vec<Arc<EndpointSlice>>) {
    let actions = plan(None, &[], &address());
    let [Action::CreateService(service), Action::CreateSlice(slice)] = actions.as_slice() else {
        panic!("both are created: {actions:?}")
    };
    let mut service = service.clone();
    // What the server adds must not count as a difference.
    service["spec"]["sessionAffinity"] = json!("None");
    service["metadata"]["uid"] = json!("u");
    let service = serde_json::from_value(service).expect("a service");
    (service, vec![Arc::new(serde_json::from_value(slice.clone()).expect("a slice"))])
}

#[test]
fn the_mark_for_proxies_is_a_label_value() {
    assert!(api::names::label_value(PROXY).is_empty(), "{PROXY}");
}

#[test]
fn what_is_right_is_left_alone() {
    let (service, slices) = made();
    assert_eq!(plan(Some(&service), &slices, &address()), []);
}

#[test]
fn a_changed_port_or_selector_or_label_is_put_right() {
    let (right, slices) = made();
    let check = |change: fn(&mut Service)| {
        let mut service = right.clone();
        change(&mut service);
        let actions = plan(Some(&service), &slices, &address());
        assert!(matches!(actions.as_slice(), [Action::PatchService(_)]), "{actions:?}");
    };
    check(|s| s.spec.as_mut().expect("a spec").ports.as_mut().expect("ports")[0].port = 54);
    check(|s| s.spec.as_mut().expect("a spec").selector = Some([("a".to_owned(), "b".to_owned())].into()));
    check(|s| drop(s.metadata.labels.as_mut().expect("labels").remove(PROXY_LABEL)));
}

#[test]
fn another_address_needs_another_service() {
    let (mut service, slices) = made();
    service.spec.as_mut().expect("a spec").cluster_ip = Some("10.96.0.99".to_owned());
    assert_eq!(plan(Some(&service), &slices, &address()), [Action::DeleteService("u".to_owned())]);
}

#[test]
fn emptied_endpoints_are_put_back() {
    let (service, slices) = made();
    let mut slice = EndpointSlice::clone(&slices[0]);
    slice.endpoints = Some(Vec::new());
    let actions = plan(Some(&service), &[Arc::new(slice)], &address());
    assert!(matches!(actions.as_slice(), [Action::PatchSlice(name, _)] if name == "kube-dns-ipv4"), "{actions:?}");
}
