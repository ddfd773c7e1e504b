//! `pods/exec`, `pods/attach` and `pods/portforward`: an upgraded connection to the kubelet, whatever is spoken on it.

use super::{Connect, kubelet, pass, pod};
use crate::authz::Action;
use crate::caller::Caller;
use crate::chain::Incoming;
use crate::reply::Body;
use crate::request::{Query, escape};
use crate::server::Server;
use api::{Status, meta};

/// Names of the streams: what clients of the API say, and what kubelets are told.
const STREAMS: [(&str, &str); 4] = [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];

/// Hands the connection over to the pod's kubelet.
///
/// # Errors
/// 403 without the right to create, 404 and 400 about pod and container, 500 when the kubelet cannot be reached.
pub async fn run(
    server: &Server,
    caller: &Caller,
    connect: Connect,
    incoming: Incoming,
) -> Result<http::Response<Body>, Status> {
    let Incoming { info, query, parts, body } = incoming;
    // Whoever may only read may not run commands, by whichever method they are asked for.
    server.authorizer.check(caller, &Action { verb: "create".to_owned(), ..Action::from(&info) })?;
    let found = pod::find(server, &info.namespace, &info.name)?;
    let container = match connect {
        Connect::PortForward => String::new(),
        _ => pod::container(&found, query.get("container").unwrap_or_default())?,
    };
    let node = pod::node(&found);
    if node.is_empty() {
        return Err(Status::bad_request(format!("pod {} does not have a host assigned", info.name)));
    }
    let target = kubelet::of(server, node)?;
    if !pass::wants_upgrade(&parts.headers) {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let uri = uri(connect, meta::namespace(&found), meta::name(&found), &container, &query)?;
    pass::upgrade(server, &target, &uri, parts, body).await
}

fn uri(connect: Connect, namespace: &str, name: &str, container: &str, query: &Query) -> Result<String, Status> {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    let path = match connect {
        Connect::PortForward => {
            let ports = query.all("ports").iter().flat_map(|text| text.split(',')).filter(|text| !text.is_empty());
            let ports: Vec<&str> = ports.collect();
            if let Some(bad) = ports.iter().find(|text| text.parse::<i32>().is_err()) {
                return Err(Status::bad_request(format!("ports: {bad:?} is no number")));
            }
            if !ports.is_empty() {
                pairs.push(("port", ports.join(",")));
            }
            format!("/portForward/{namespace}/{name}")
        }
        _ => {
            let set = STREAMS.iter().filter(|(asked, _)| query.flag(asked));
            pairs.extend(set.map(|(_, told)| (*told, "1".to_owned())));
            let run = connect == Connect::Exec;
            pairs.extend(query.all("command").iter().filter(|_| run).map(|word| ("command", word.clone())));
            format!("/{}/{namespace}/{name}/{container}", if run { "exec" } else { "attach" })
        }
    };
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={}", escape(value))).collect();
    Ok(format!("{path}?{}", pairs.join("&")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(connect: Connect, query: &str) -> String {
        uri(connect, "ns", "p", "c", &Query::parse(query)).unwrap_or_else(|status| status.message)
    }

    #[test]
    fn what_is_asked_of_the_api_is_told_to_the_kubelet() {
        let exec = check(
            Connect::Exec,
            "stdin=true&stdout=1&stderr=false&tty=true&container=c&command=sh&command=-c&command=a+%26b",
        );
        assert_eq!(exec, "/exec/ns/p/c?input=1&output=1&tty=1&command=sh&command=-c&command=a%20%26b");
        assert_eq!(check(Connect::Attach, "stderr=true&command=x"), "/attach/ns/p/c?error=1");
        assert_eq!(check(Connect::PortForward, "ports=80,443&ports=8080"), "/portForward/ns/p?port=80%2C443%2C8080");
        assert_eq!(check(Connect::PortForward, ""), "/portForward/ns/p?");
        assert_eq!(check(Connect::PortForward, "ports=http"), "ports: \"http\" is no number");
    }
}
