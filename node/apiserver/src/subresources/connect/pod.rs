//! The pod of a request: which container is meant, on which node it is, and which address it has.

use crate::server::Server;
use api::status::GroupName;
use api::{Status, Tree, meta};

/// The pod of that name.
///
/// # Errors
/// 404 when there is none.
pub fn find(server: &Server, namespace: &str, name: &str) -> Result<Tree, Status> {
    let pods = server.resource("", "v1", "pods")?;
    server.object(&pods, namespace, name)?.ok_or_else(|| Status::not_found(&GroupName::new("", "pods"), name))
}

fn names<'a>(pod: &'a Tree, list: &str) -> impl Iterator<Item = &'a str> {
    pod.list_at(&["spec", list]).iter().filter_map(|container| container.str_at(&["name"]))
}

/// The container that is meant: the named one, or the only one.
///
/// # Errors
/// 400 in upstream's words when the pod has no such container or several.
pub fn container(pod: &Tree, wanted: &str) -> Result<String, Status> {
    let all = || ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|list| names(pod, list));
    let pod_name = meta::name(pod);
    if !wanted.is_empty() {
        let known = all().any(|name| name == wanted);
        let why = || format!("container {wanted} is not valid for pod {pod_name}");
        return if known { Ok(wanted.to_owned()) } else { Err(Status::bad_request(why())) };
    }
    match names(pod, "containers").collect::<Vec<_>>().as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => Err(Status::bad_request(format!("a container name must be specified for pod {pod_name}"))),
        _ => {
            let all: Vec<&str> = all().collect();
            Err(Status::bad_request(format!(
                "a container name must be specified for pod {pod_name}, choose one of: [{}]",
                all.join(" ")
            )))
        }
    }
}

/// The node that runs the pod; empty when it has none yet.
#[must_use]
pub fn node(pod: &Tree) -> &str {
    pod.str_at(&["spec", "nodeName"]).unwrap_or_default()
}

/// The pod's first address; empty when it has none yet.
#[must_use]
pub fn address(pod: &Tree) -> &str {
    let first = pod.list_at(&["status", "podIPs"]).first().and_then(|entry| entry.str_at(&["ip"]));
    first.or_else(|| pod.str_at(&["status", "podIP"])).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn check(pod: &Tree, wanted: &str) -> String {
        container(pod, wanted).unwrap_or_else(|status| format!("{} {}", status.code, status.message))
    }

    #[test]
    fn the_container_is_named_or_the_only_one() {
        let one = tree!({"metadata": {"name": "p"}, "spec": {
            "containers": [{"name": "a"}], "initContainers": [{"name": "i"}]
        }});
        let two = tree!({"metadata": {"name": "p"}, "spec": {
            "containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}],
            "ephemeralContainers": [{"name": "e"}]
        }});
        assert_eq!(check(&one, ""), "a");
        assert_eq!(check(&one, "i"), "i");
        assert_eq!(check(&two, "e"), "e");
        assert_eq!(check(&two, ""), "400 a container name must be specified for pod p, choose one of: [i a b e]");
        assert_eq!(check(&one, "x"), "400 container x is not valid for pod p");
        let none = tree!({"metadata": {"name": "p"}, "spec": {}});
        assert_eq!(check(&none, ""), "400 a container name must be specified for pod p");
    }
}
