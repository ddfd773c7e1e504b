//! Who owns whom: every object by uid, its owners, its dependents, and what follows for one of them. Pure.
//!
//! It must not know kinds or talk to anyone.

use client::{Meta, Partial, ResourceRef};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use std::collections::{BTreeSet, HashMap};

/// Holds an owner until the dependents that block it are gone.
pub const FOREGROUND: &str = "foregroundDeletion";
/// Holds an owner until its dependents are no longer its own.
pub const ORPHAN: &str = "orphan";

/// One object.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it is served.
    pub resource: ResourceRef,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its owners.
    pub owners: Vec<OwnerReference>,
    deleting: bool,
    foreground: bool,
    orphaning: bool,
}

impl Node {
    /// An object as the graph keeps it.
    #[must_use]
    pub fn of(resource: &ResourceRef, object: &Partial) -> Node {
        Node {
            resource: resource.clone(),
            namespace: object.namespace().to_owned(),
            name: object.name().to_owned(),
            uid: object.uid().to_owned(),
            owners: object.metadata.owner_references.clone().unwrap_or_default(),
            deleting: object.is_deleting(),
            foreground: object.has_finalizer(FOREGROUND),
            orphaning: object.has_finalizer(ORPHAN),
        }
    }
}

/// The owners of an object, sorted.
#[derive(Debug, Default)]
pub struct Owners {
    /// They live.
    pub solid: Vec<OwnerReference>,
    /// They are gone.
    pub dangling: Vec<OwnerReference>,
    /// They wait until this object is gone.
    pub waiting: Vec<OwnerReference>,
    /// The graph does not know them.
    pub unknown: Vec<OwnerReference>,
}

/// What is to be done about one object.
#[derive(Debug)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// Take it off the owners of these, then let it go.
    Orphan(Vec<Node>),
    /// Nothing blocks its foreground deletion any more.
    Finish,
    /// These have to be looked at first.
    Look(Vec<String>),
    /// It depends on its owners.
    Weigh(Owners),
}

/// All objects.
#[derive(Default)]
pub struct Graph {
    nodes: HashMap<String, Node>,
    children: HashMap<String, BTreeSet<String>>,
}

impl Graph {
    /// One object.
    #[must_use]
    pub fn node(&self, uid: &str) -> Option<Node> {
        self.nodes.get(uid).cloned()
    }

    fn children(&self, uid: &str) -> impl Iterator<Item = &Node> {
        self.children.get(uid).into_iter().flatten().filter_map(|child| self.nodes.get(child))
    }

    /// Whether anything depends on an object.
    #[must_use]
    pub fn has_children(&self, uid: &str) -> bool {
        self.children(uid).next().is_some()
    }

    /// Whether a dependent itself waits for its dependents, so that the two may wait for each other.
    #[must_use]
    pub fn may_be_circle(&self, uid: &str) -> bool {
        self.children(uid).any(|child| child.deleting && child.foreground)
    }

    /// Takes in the newest state; which objects to look at now.
    #[must_use]
    pub fn observe(&mut self, node: Node) -> Vec<String> {
        let uid = node.uid.clone();
        let old = self.nodes.insert(uid.clone(), node.clone());
        for owner in old.iter().flat_map(|o| &o.owners) {
            self.unlink(&owner.uid, &uid);
        }
        for owner in &node.owners {
            self.children.entry(owner.uid.clone()).or_default().insert(uid.clone());
        }
        let mut look = Vec::new();
        let needs_a_look = node.owners.iter().any(|o| self.nodes.get(&o.uid).is_none_or(|owner| owner.deleting));
        if needs_a_look || node.deleting {
            look.push(uid.clone());
        }
        if node.deleting && node.foreground {
            look.extend(self.children(&uid).map(|child| child.uid.clone()));
        }
        // An owner that is being deleted may have been waiting for this change.
        let was = old.into_iter().flat_map(|o| o.owners);
        look.extend(was.map(|o| o.uid).filter(|o| self.nodes.get(o).is_some_and(|o| o.deleting && o.foreground)));
        look
    }

    /// Takes in a disappearance; which objects to look at now.
    #[must_use]
    pub fn remove(&mut self, uid: &str) -> Vec<String> {
        let Some(node) = self.nodes.remove(uid) else { return Vec::new() };
        for owner in &node.owners {
            self.unlink(&owner.uid, uid);
        }
        let children = self.children(uid).map(|child| child.uid.clone());
        let owners = node.owners.iter().map(|o| o.uid.clone());
        children.chain(owners.filter(|o| self.nodes.get(o).is_some_and(|o| o.deleting))).collect()
    }

    /// Forgets the objects of a resource that is no longer served.
    #[must_use]
    pub fn forget_resource(&mut self, resource: &ResourceRef) -> Vec<String> {
        let gone: Vec<String> =
            self.nodes.values().filter(|n| n.resource == *resource).map(|n| n.uid.clone()).collect();
        gone.iter().flat_map(|uid| self.remove(uid)).collect()
    }

    fn unlink(&mut self, owner: &str, child: &str) {
        if let Some(children) = self.children.get_mut(owner) {
            children.remove(child);
            if children.is_empty() {
                self.children.remove(owner);
            }
        }
    }

    /// What is to be done about an object.
    #[must_use]
    pub fn step(&self, node: &Node) -> Step {
        if node.deleting && node.orphaning {
            return Step::Orphan(self.children(&node.uid).cloned().collect());
        }
        if node.deleting && !node.foreground {
            return Step::Nothing;
        }
        if node.deleting {
            let blocks =
                |child: &&Node| child.owners.iter().any(|o| o.uid == node.uid && o.block_owner_deletion == Some(true));
            let blocking: Vec<&Node> = self.children(&node.uid).filter(blocks).collect();
            if blocking.is_empty() {
                return Step::Finish;
            }
            return Step::Look(blocking.iter().filter(|c| !c.deleting).map(|c| c.uid.clone()).collect());
        }
        if node.owners.is_empty() {
            return Step::Nothing;
        }
        let mut owners = Owners::default();
        for reference in &node.owners {
            let list = match self.nodes.get(&reference.uid) {
                None => &mut owners.unknown,
                // Owners live in the same namespace, or in none.
                Some(owner) if !owner.namespace.is_empty() && owner.namespace != node.namespace => &mut owners.dangling,
                Some(owner) if owner.kind_differs(reference) => &mut owners.unknown,
                Some(owner) if owner.deleting && owner.foreground => &mut owners.waiting,
                Some(_) => &mut owners.solid,
            };
            list.push(reference.clone());
        }
        Step::Weigh(owners)
    }
}

impl Node {
    fn kind_differs(&self, reference: &OwnerReference) -> bool {
        let (group, _) = api::meta::split_api_version(&reference.api_version);
        self.resource.kind != reference.kind || self.resource.group != group || self.name != reference.name
    }
}
