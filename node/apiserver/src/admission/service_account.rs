//! Every pod runs as a service account, whose token it finds in a volume. Rules of
//! `k8s.io/kubernetes/plugin/pkg/admission/serviceaccount`.

use super::{Attributes, Operation};
use crate::clock::generated_name;
use api::{Status, Tree, tree};
use std::time::Duration;

const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
/// Seconds that a projected token lives: an hour, and seven seconds that mark it as one that was not asked for.
const TOKEN_SECONDS: i64 = 3607;
/// Mode of the files in the volume: 0644.
const FILE_MODE: i64 = 0o644;
const MIRROR: &str = "kubernetes.io/config.mirror";

fn account(attributes: &Attributes, pod: &Tree) -> Result<Tree, Status> {
    let name = pod.str_at(&["spec", "serviceAccountName"]).unwrap_or_default();
    let namespace = attributes.call.info.namespace.as_str();
    let resource = attributes.server.resource("", "v1", "serviceaccounts")?;
    attributes.server.object(&resource, namespace, name)?.ok_or_else(|| {
        let why = format!("error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found");
        attributes.forbidden(api::meta::name(pod), why)
    })
}

/// How long a pod waits for the default account of its namespace, which a controller makes a moment after the
/// namespace. Upstream tries ten times, 100 to 200 ms apart.
const DEFAULT_WAIT_MAX: Duration = Duration::from_secs(2);

/// Waits for the default account of a namespace that is not there yet, so that a pod can follow its namespace at once.
///
/// # Errors
/// 500 when a stored object is damaged.
pub async fn wait_for_default(attributes: &Attributes<'_>, pod: &Tree) -> Result<(), Status> {
    let server = attributes.server;
    let name = pod.str_at(&["spec", "serviceAccountName"]).unwrap_or_default();
    let mirror = api::meta::annotation(pod, MIRROR).is_some();
    if !attributes.creates("", "pods") || mirror || !matches!(name, "" | "default") {
        return Ok(());
    }
    let namespace = attributes.call.info.namespace.as_str();
    let key = server.resource("", "v1", "serviceaccounts")?.key(namespace, "default");
    if server.store.get(&key).is_some() {
        return Ok(());
    }
    let holder = server.object(&*server.resource("", "v1", "namespaces")?, "", namespace)?;
    if holder.is_none_or(|holder| api::meta::deletion_timestamp(&holder).is_some()) {
        return Ok(());
    }
    let (_, mut watch) = server.store.snapshot_and_watch(&key);
    let wait = async { while server.store.get(&key).is_none() && watch.next().await.is_ok() {} };
    if tokio::time::timeout(DEFAULT_WAIT_MAX, wait).await.is_err() {
        tracing::debug!(namespace, "the default service account did not come in time");
    }
    Ok(())
}

/// Names the account, mounts its token, takes over its pull secrets.
pub fn mutate(attributes: &Attributes, pod: &mut Tree) -> Result<(), Status> {
    if !attributes.creates("", "pods") || api::meta::annotation(pod, MIRROR).is_some() {
        return Ok(());
    }
    if pod.str_at(&["spec", "serviceAccountName"]).unwrap_or_default().is_empty() {
        pod.set_at(&["spec", "serviceAccountName"], "default");
    }
    let account = account(attributes, pod)?;
    let own = pod.bool_at(&["spec", "automountServiceAccountToken"]);
    let wanted = own.or(account.bool_at(&["automountServiceAccountToken"])).unwrap_or(true);
    if wanted {
        mount_token(pod, || generated_name(VOLUME_PREFIX, &*attributes.server.world.random));
    }
    let secrets = account.list_at(&["imagePullSecrets"]);
    if pod.list_at(&["spec", "imagePullSecrets"]).is_empty() && !secrets.is_empty() {
        pod.set_at(&["spec", "imagePullSecrets"], secrets.to_vec());
    }
    Ok(())
}

/// Mounts the token into every container that has nothing at its path.
fn mount_token(pod: &mut Tree, fresh_name: impl FnOnce() -> String) {
    let volumes = pod.list_at(&["spec", "volumes"]);
    let mut names = volumes.iter().filter_map(|v| v.str_at(&["name"]));
    let present = names.find(|name| name.starts_with(VOLUME_PREFIX)).map(str::to_owned);
    let name = present.clone().unwrap_or_else(fresh_name);
    let mut needed = false;
    for field in ["initContainers", "containers"] {
        let Some(containers) = pod.at_mut(&["spec", field]).and_then(Tree::as_list_mut) else { continue };
        for container in containers {
            let taken =
                container.list_at(&["volumeMounts"]).iter().any(|m| m.str_at(&["mountPath"]) == Some(TOKEN_PATH));
            if !taken {
                push(
                    container,
                    "volumeMounts",
                    tree!({"name": (name.as_str()), "readOnly": true, "mountPath": TOKEN_PATH}),
                );
                needed = true;
            }
        }
    }
    if needed && present.is_none() {
        let spec = pod.make_map().entry("spec");
        push(spec, "volumes", tree!({"name": name, "projected": (token_volume())}));
    }
}

fn push(object: &mut Tree, field: &str, item: Tree) {
    let list = object.make_map().entry(field);
    match list {
        Tree::List(items) => items.push(item),
        other => *other = Tree::List(vec![item]),
    }
}

fn token_volume() -> Tree {
    tree!({
        "defaultMode": FILE_MODE,
        "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [
                {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
            ]}}
        ]
    })
}

/// Refuses pods of the kubelet that claim what only the API can give.
pub fn validate(attributes: &Attributes, object: Option<&Tree>) -> Result<(), Status> {
    let Some(pod) = object.filter(|_| attributes.operation == Operation::Create && attributes.is("", "pods")) else {
        return Ok(());
    };
    if api::meta::annotation(pod, MIRROR).is_none() {
        return account(attributes, pod).map(drop);
    }
    let name = api::meta::name(pod);
    if !pod.str_at(&["spec", "serviceAccountName"]).unwrap_or_default().is_empty() {
        return Err(attributes.forbidden(name, "a mirror pod may not reference service accounts"));
    }
    let secret = |volume: &Tree| {
        volume.get("secret").is_some()
            || volume.list_at(&["projected", "sources"]).iter().any(|s| s.get("secret").is_some())
    };
    let token = |volume: &Tree| {
        volume.list_at(&["projected", "sources"]).iter().any(|s| s.get("serviceAccountToken").is_some())
    };
    let volumes = pod.list_at(&["spec", "volumes"]);
    if volumes.iter().any(secret) {
        return Err(attributes.forbidden(name, "a mirror pod may not reference secrets"));
    }
    if volumes.iter().any(token) {
        return Err(attributes.forbidden(name, "a mirror pod may not use ServiceAccountToken volume projections"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_mounted_where_nothing_else_is() {
        let mut pod = tree!({"spec": {"containers": [
            {"name": "a"},
            {"name": "b", "volumeMounts": [{"name": "own", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]}
        ]}});
        mount_token(&mut pod, || "kube-api-access-x".to_owned());
        assert_eq!(pod.list_at(&["spec", "volumes"]).len(), 1);
        let containers = pod.list_at(&["spec", "containers"]);
        assert_eq!(containers[0].list_at(&["volumeMounts"])[0].str_at(&["name"]), Some("kube-api-access-x"));
        assert_eq!(containers[1].list_at(&["volumeMounts"]).len(), 1);
    }
}
