//! What a node may do: read what its own pods use, write about itself. Rules of
//! `k8s.io/kubernetes/plugin/pkg/auth/authorizer/node`; where that keeps a graph, this looks at the node's pods when
//! asked. Whatever is not told apart here follows the role `system:node` as the cluster was born with it.

use super::rules::PolicyRule;
use super::{Action, bootstrap};
use crate::caller::Caller;
use crate::catalog::{Catalog, Resource};
use crate::objects::{self, Indexed};
use api::{Tree, meta};
use arc_swap::ArcSwap;
use pods::references;
use std::sync::Arc;
use store::Store;

/// The group of all nodes.
const GROUP: &str = "system:nodes";
/// A node's user is called so, with its name behind.
const PREFIX: &str = "system:node:";
/// The role with what all nodes may do.
const ROLE: &str = "system:node";
/// The namespace of the leases of nodes.
const LEASES: &str = "kube-node-lease";
/// Marks a pod that only mirrors a file of its node; it must not open anything to the node that made it.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// The node that a user is.
#[must_use]
pub fn identity(caller: &Caller) -> Option<&str> {
    let name = caller.name().strip_prefix(PREFIX)?;
    (!name.is_empty() && caller.in_group(GROUP)).then_some(name)
}

/// Decides for nodes.
pub struct Nodes {
    store: Store,
    catalog: Arc<ArcSwap<Catalog>>,
    rules: Vec<PolicyRule>,
}

impl Nodes {
    /// Decides by the pods in a store.
    pub fn new(store: Store, catalog: Arc<ArcSwap<Catalog>>) -> Nodes {
        let role = bootstrap::objects().into_iter().find(|o| meta::kind(o) == "ClusterRole" && meta::name(o) == ROLE);
        let rules = role.iter().flat_map(|role| role.list_at(&["rules"])).map(PolicyRule::from_tree).collect();
        Nodes { store, catalog, rules }
    }

    /// Whether the caller is a node that may do this.
    pub fn allows(&self, caller: &Caller, action: &Action) -> bool {
        let Some(node) = identity(caller) else { return false };
        let by_rules = || self.rules.iter().any(|rule| rule.allows(action));
        if !action.is_resource {
            return by_rules();
        }
        match (action.group.as_str(), action.resource.as_str()) {
            ("", "secrets") => {
                reads(action) && self.pods_use(node, action, |pod| references::uses_secret(pod, &action.name))
            }
            ("", "configmaps") => {
                reads(action) && self.pods_use(node, action, |pod| references::uses_config_map(pod, &action.name))
            }
            ("", "persistentvolumeclaims") => {
                let verb = match action.subresource.as_str() {
                    "" => action.verb == "get",
                    "status" => matches!(action.verb.as_str(), "update" | "patch"),
                    _ => false,
                };
                verb && self.pods_use(node, action, |pod| references::claims(pod).contains(&action.name))
            }
            ("", "persistentvolumes") => plainly_gets(action) && self.uses_volume(node, &action.name),
            ("", "serviceaccounts") => {
                let verb = match action.subresource.as_str() {
                    "" => action.verb == "get",
                    "token" => action.verb == "create",
                    _ => false,
                };
                verb && self.pods_use(node, action, |pod| account(pod) == action.name)
            }
            ("", "nodes") => own_node(node, action),
            ("", "pods") => self.pod(node, action),
            ("coordination.k8s.io", "leases") => action.namespace == LEASES && own_or_new(node, action),
            ("storage.k8s.io", "csinodes") => action.subresource.is_empty() && own_or_new(node, action),
            ("storage.k8s.io", "volumeattachments") => plainly_gets(action) && self.is_attached(node, &action.name),
            ("resource.k8s.io", "resourceslices") => {
                let listed = matches!(action.verb.as_str(), "list" | "watch" | "deletecollection");
                action.subresource.is_empty()
                    && (action.verb == "create" || (listed && action.selects("spec.nodeName", node)))
            }
            ("resource.k8s.io", "resourceclaims") => {
                plainly_gets(action) && self.pods_use(node, action, |pod| claims_device(pod, &action.name))
            }
            _ => by_rules(),
        }
    }

    fn pod(&self, node: &str, action: &Action) -> bool {
        let owner = self.node_of(&action.namespace, &action.name);
        if matches!(action.verb.as_str(), "list" | "watch") && action.selects("spec.nodeName", node) {
            return action.subresource.is_empty();
        }
        may_touch_pod(node, action, owner.as_deref())
    }

    fn resource(&self, group: &str, plural: &str) -> Option<Arc<Resource>> {
        self.catalog.load().find(group, "v1", plural).cloned()
    }

    /// The node's pods in one namespace, or in all.
    fn pods_of(&self, node: &str, namespace: &str, mut wants: impl FnMut(&Tree) -> bool) -> bool {
        let Some(pods) = self.resource("", "pods") else { return false };
        let snapshot = self.store.snapshot();
        snapshot.iter(&pods.prefix(namespace), None).any(|entry| {
            let here = entry.extra_as::<Indexed>().is_some_and(|i| i.field("spec.nodeName") == Some(node));
            // A damaged pod opens nothing.
            here && objects::tree(&pods, entry).is_ok_and(|pod| wants(&pod))
        })
    }

    fn pods_use(&self, node: &str, action: &Action, uses: impl Fn(&Tree) -> bool) -> bool {
        !action.name.is_empty()
            && !action.namespace.is_empty()
            && self.pods_of(node, &action.namespace, |pod| {
                pod.str_at(&["metadata", "annotations", MIRROR]).is_none() && uses(pod)
            })
    }

    /// The node of a pod, empty when it has none yet; `None` when there is no such pod.
    fn node_of(&self, namespace: &str, name: &str) -> Option<String> {
        let entry = self.store.get(&self.resource("", "pods")?.key(namespace, name))?;
        let node = entry.extra_as::<Indexed>().and_then(|indexed| indexed.field("spec.nodeName").map(str::to_owned));
        Some(node.unwrap_or_default())
    }

    /// Whether one of the node's pods uses the claim that a volume is bound to.
    fn uses_volume(&self, node: &str, name: &str) -> bool {
        let (Some(volumes), false) = (self.resource("", "persistentvolumes"), name.is_empty()) else { return false };
        let Some(volume) = self.store.get(&volumes.key("", name)).and_then(|e| objects::tree(&volumes, &e).ok()) else {
            return false;
        };
        let part = |field: &str| volume.str_at(&["spec", "claimRef", field]).unwrap_or_default().to_owned();
        let (namespace, claim) = (part("namespace"), part("name"));
        !claim.is_empty() && self.pods_of(node, &namespace, |pod| references::claims(pod).contains(&claim))
    }

    fn is_attached(&self, node: &str, name: &str) -> bool {
        let Some(attachments) = self.resource("storage.k8s.io", "volumeattachments") else { return false };
        let found = self.store.get(&attachments.key("", name)).and_then(|e| objects::tree(&attachments, &e).ok());
        found.is_some_and(|object| object.str_at(&["spec", "nodeName"]) == Some(node))
    }
}

fn reads(action: &Action) -> bool {
    action.subresource.is_empty() && matches!(action.verb.as_str(), "get" | "list" | "watch")
}

fn plainly_gets(action: &Action) -> bool {
    action.subresource.is_empty() && action.verb == "get"
}

fn account(pod: &Tree) -> &str {
    pod.str_at(&["spec", "serviceAccountName"]).unwrap_or_default()
}

/// Whether a pod uses a claim for devices: by name, or by what was generated for it and noted in its status.
fn claims_device(pod: &Tree, name: &str) -> bool {
    let named = pod.list_at(&["spec", "resourceClaims"]).iter().filter_map(|c| c.str_at(&["resourceClaimName"]));
    let made = pod.list_at(&["status", "resourceClaimStatuses"]).iter();
    named.chain(made.filter_map(|c| c.str_at(&["resourceClaimName"]))).any(|used| used == name)
}

/// What a node may do to one pod, whose node is `owner`. Upstream leaves writes to its admission plugin NodeRestriction,
/// which is not here: the name is known, so they are judged at once. Without a mirror of static pods no node makes any.
/// A write to a pod that is gone passes, so that the node learns that it is gone.
fn may_touch_pod(node: &str, action: &Action, owner: Option<&str>) -> bool {
    match (action.subresource.as_str(), action.verb.as_str()) {
        ("", "get" | "list" | "watch") => owner == Some(node),
        ("", "delete") | ("status", "update" | "patch") | ("eviction", "create") => {
            !action.name.is_empty() && owner.is_none_or(|owner| owner == node)
        }
        _ => false,
    }
}

/// Objects named after their node. Authorization does not know the name of a new one.
fn own_or_new(node: &str, action: &Action) -> bool {
    match action.verb.as_str() {
        "create" => true,
        "get" | "update" | "patch" | "delete" => action.name == node,
        _ => false,
    }
}

/// A node reads and writes itself only; of a new one authorization does not know the name.
fn own_node(node: &str, action: &Action) -> bool {
    match (action.subresource.as_str(), action.verb.as_str()) {
        ("", "create") => true,
        ("", "get" | "list" | "watch" | "update" | "patch") | ("status", "update" | "patch") => action.name == node,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(verb: &str, name: &str) -> Action {
        Action { verb: verb.to_owned(), name: name.to_owned(), is_resource: true, ..Action::default() }
    }

    #[test]
    fn a_node_is_known_by_user_and_group_together() {
        assert_eq!(identity(&Caller::component("system:node:rock", &[GROUP])), Some("rock"));
        assert_eq!(identity(&Caller::component("system:node:rock", &[])), None);
        assert_eq!(identity(&Caller::component("system:node:", &[GROUP])), None);
        assert_eq!(identity(&Caller::component("rock", &[GROUP])), None);
    }

    #[test]
    fn a_node_reads_itself_only() {
        assert!(own_node("rock", &action("get", "rock")) && own_node("rock", &action("watch", "rock")));
        assert!(!own_node("rock", &action("get", "other")) && !own_node("rock", &action("list", "")));
        assert!(own_or_new("rock", &action("create", "")) && !own_or_new("rock", &action("patch", "other")));
    }

    #[test]
    fn a_node_writes_only_itself_and_its_own_pods() {
        let of = |subresource: &str, verb, name| Action { subresource: subresource.to_owned(), ..action(verb, name) };
        assert!(own_node("rock", &of("status", "patch", "rock")) && !own_node("rock", &of("status", "patch", "other")));
        assert!(!own_node("rock", &action("patch", "other")));
        for write in [of("status", "patch", "p"), of("", "delete", "p"), of("eviction", "create", "p")] {
            assert!(may_touch_pod("rock", &write, Some("rock")), "{write:?}");
            assert!(may_touch_pod("rock", &write, None), "it learns that the pod is gone: {write:?}");
            assert!(!may_touch_pod("rock", &write, Some("other")), "{write:?}");
            assert!(!may_touch_pod("rock", &write, Some("")), "nobody's yet: {write:?}");
        }
        assert!(
            !may_touch_pod("rock", &of("", "get", "p"), None) && !may_touch_pod("rock", &of("", "create", ""), None)
        );
        assert!(!may_touch_pod("rock", &of("exec", "create", "p"), Some("rock")));
    }

    #[test]
    fn all_nodes_follow_the_role_that_the_cluster_was_born_with() {
        let role = bootstrap::objects().into_iter().find(|o| meta::name(o) == ROLE && meta::kind(o) == "ClusterRole");
        assert!(role.is_some_and(|role| role.list_at(&["rules"]).len() > 10));
    }
}
