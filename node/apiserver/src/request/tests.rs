//! Paths, methods and queries, and what they ask for.

use super::*;

/// verb group/version resource/subresource namespace name rest
fn check(method: &str, url: &str, expected: &str) {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let info = RequestInfo::parse(&method.parse().unwrap(), path, &Query::parse(query));
    let resource = if info.subresource.is_empty() {
        info.resource.clone()
    } else {
        format!("{}/{}", info.resource, info.subresource)
    };
    let shown = if info.is_resource {
        format!(
            "{} {}/{} {resource} ns={} name={} rest={}",
            info.verb, info.group, info.version, info.namespace, info.name, info.rest
        )
    } else {
        format!("{} {}", info.verb, info.path)
    };
    assert_eq!(shown, expected, "{method} {url}");
}

#[test]
fn resources_are_read_from_the_path() {
    check("GET", "/api/v1/namespaces/a/pods/b", "get /v1 pods ns=a name=b rest=");
    check("GET", "/api/v1/namespaces/a/pods", "list /v1 pods ns=a name= rest=");
    check("GET", "/api/v1/pods?watch=1", "watch /v1 pods ns= name= rest=");
    check("GET", "/api/v1/watch/namespaces/a/pods/b", "watch /v1 pods ns=a name=b rest=");
    check("POST", "/apis/apps/v1/namespaces/a/deployments", "create apps/v1 deployments ns=a name= rest=");
    check(
        "PUT",
        "/apis/apps/v1/namespaces/a/deployments/b/scale",
        "update apps/v1 deployments/scale ns=a name=b rest=",
    );
    check("DELETE", "/api/v1/nodes", "deletecollection /v1 nodes ns= name= rest=");
    check("PATCH", "/api/v1/nodes/n", "patch /v1 nodes ns= name=n rest=");
}

#[test]
fn a_namespace_is_in_itself() {
    check("GET", "/api/v1/namespaces", "list /v1 namespaces ns= name= rest=");
    check("GET", "/api/v1/namespaces/a", "get /v1 namespaces ns=a name=a rest=");
    check("PUT", "/api/v1/namespaces/a/finalize", "update /v1 namespaces/finalize ns=a name=a rest=");
    check("GET", "/api/v1/namespaces/a/status", "get /v1 namespaces/status ns=a name=a rest=");
}

#[test]
fn the_path_of_a_proxy_request_is_kept() {
    check(
        "GET",
        "/api/v1/namespaces/a/services/http:s:80/proxy/x/y%2Fz",
        "get /v1 services/proxy ns=a name=http:s:80 rest=x/y%2Fz",
    );
    check("GET", "/api/v1/namespaces/a/pods/p/proxy/", "get /v1 pods/proxy ns=a name=p rest=");
    check("GET", "/api/v1/namespaces/a/pods/p/proxy/x/", "get /v1 pods/proxy ns=a name=p rest=x/");
    check("GET", "/api/v1/nodes/n/proxy/logs", "get /v1 nodes/proxy ns= name=n rest=logs");
}

#[test]
fn a_list_narrowed_to_one_name_carries_it() {
    check("GET", "/api/v1/pods?fieldSelector=metadata.name%3Dx", "list /v1 pods ns= name=x rest=");
}

#[test]
fn other_paths_have_the_method_as_verb() {
    check("GET", "/healthz", "get /healthz");
    check("GET", "/apis/apps/v1", "get /apis/apps/v1");
    check("GET", "/api", "get /api");
}

#[test]
fn what_no_resource_has_is_no_known_subresource() {
    check("GET", "/api/v1/namespaces/a/pods/b/log/c", "get /v1 pods/log/c ns=a name=b rest=c");
}
