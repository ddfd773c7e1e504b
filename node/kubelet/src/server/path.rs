//! Which path asks for what.

use super::query::unescape;
use http::Method;

/// A pod, and the container in it where one is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// UID that the pod must have; empty when any will do.
    pub uid: String,
    /// Name of the container; empty where none is meant.
    pub container: String,
}

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Whether the kubelet is well.
    Health,
    /// The pods of the node.
    Pods,
    /// The pods of which a container runs.
    RunningPods,
    /// Usage, for people and autoscalers.
    Summary,
    /// The kubelet's own metrics.
    Metrics,
    /// Usage, as metrics.
    ResourceMetrics,
    /// Usage, as cAdvisor names it.
    Cadvisor,
    /// How probes went.
    Probes,
    /// A container's log.
    Logs(Object),
    /// A new command, with its streams.
    Exec(Object),
    /// The streams of the first process.
    Attach(Object),
    /// A command to its end.
    Run(Object),
    /// Ports of a pod.
    PortForward(Object),
}

/// What a request asks for.
///
/// # Errors
/// The code of the refusal: 404 for an unknown path, 405 for a method that it does not take.
pub fn route(method: &Method, path: &str) -> Result<Route, u16> {
    let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(unescape).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (get, post) = (matches!(*method, Method::GET | Method::HEAD), *method == Method::POST);
    let (route, fits) = match parts.as_slice() {
        ["healthz"] | ["healthz", "ping" | "log" | "syncloop"] => (Route::Health, get),
        ["pods"] => (Route::Pods, get),
        ["runningpods"] => (Route::RunningPods, get),
        ["stats", "summary"] => (Route::Summary, get || post),
        ["metrics"] => (Route::Metrics, get),
        ["metrics", "resource"] => (Route::ResourceMetrics, get),
        ["metrics", "cadvisor"] => (Route::Cadvisor, get),
        ["metrics", "probes"] => (Route::Probes, get),
        ["containerLogs", namespace, name, container] => (Route::Logs(object(namespace, name, "", container)), get),
        ["portForward", namespace, name, uid @ ..] if uid.len() < 2 => {
            (Route::PortForward(object(namespace, name, uid.first().unwrap_or(&""), "")), get || post)
        }
        [verb @ ("exec" | "attach" | "run"), namespace, name, rest @ ..] => {
            let object = match rest {
                [container] => object(namespace, name, "", container),
                [uid, container] => object(namespace, name, uid, container),
                _ => return Err(404),
            };
            match *verb {
                "exec" => (Route::Exec(object), get || post),
                "attach" => (Route::Attach(object), get || post),
                _ => (Route::Run(object), post),
            }
        }
        _ => return Err(404),
    };
    if fits { Ok(route) } else { Err(405) }
}

fn object(namespace: &str, name: &str, uid: &str, container: &str) -> Object {
    let own = str::to_owned;
    Object { namespace: own(namespace), name: own(name), uid: own(uid), container: own(container) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_upstreams_kubelet() {
        let (get, post) = (Method::GET, Method::POST);
        for (method, path, wants) in [
            (&get, "/healthz", Ok(Route::Health)),
            (&get, "/healthz/syncloop", Ok(Route::Health)),
            (&get, "/pods/", Ok(Route::Pods)),
            (&get, "/metrics/cadvisor", Ok(Route::Cadvisor)),
            (&get, "/metrics/probes", Ok(Route::Probes)),
            (&get, "/containerLogs/a/b/c", Ok(Route::Logs(object("a", "b", "", "c")))),
            (&post, "/exec/a/b/c", Ok(Route::Exec(object("a", "b", "", "c")))),
            (&get, "/attach/a/b/u/c", Ok(Route::Attach(object("a", "b", "u", "c")))),
            (&post, "/run/a/b/c", Ok(Route::Run(object("a", "b", "", "c")))),
            (&get, "/run/a/b/c", Err(405)),
            (&post, "/portForward/a/b", Ok(Route::PortForward(object("a", "b", "", "")))),
            (&post, "/portForward/a/b/u", Ok(Route::PortForward(object("a", "b", "u", "")))),
            (&get, "/exec/a/b", Err(404)),
            (&get, "/logs/", Err(404)),
            (&post, "/pods", Err(405)),
        ] {
            assert_eq!(route(method, path), wants, "{path}");
        }
    }
}
