//! The catalog: which resources are served, and what each needs to be handled by the one generic path. Built-in kinds
//! come from `resources`; custom resources are added to a new catalog that replaces the old one whole.

use resources::{Column, Conversion, Rules, SubResource};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One resource of one group and version, as it is served.
pub struct Resource {
    /// API group; empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind of its objects.
    pub kind: String,
    /// Kind of its lists.
    pub list_kind: String,
    /// Plural name, as in paths.
    pub plural: String,
    /// Singular name.
    pub singular: String,
    /// Short names for `kubectl get`.
    pub short_names: Vec<String>,
    /// Groups of resources, such as `all`.
    pub categories: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Verbs in the order of their names.
    pub verbs: Vec<String>,
    /// Subresources.
    pub subresources: Vec<SubResource>,
    /// Columns of its tables.
    pub columns: Vec<Column>,
    /// What fields its objects have.
    pub schema: schema::Schema,
    /// What fields its lists have; absent for what is never listed.
    pub list_schema: Option<schema::Schema>,
    /// Its type in the facts table; absent for custom resources.
    pub type_id: Option<schema::facts::TypeId>,
    /// What is special about it.
    pub rules: &'static Rules,
    /// How it differs from what is stored, if it does.
    pub conversion: Option<&'static Conversion>,
    /// Group and plural under which its objects are stored; the same for all versions of a kind.
    pub storage: (String, String),
    /// Group and version of the stored form; absent for what is not stored.
    pub stored_as: Option<(String, String)>,
    /// Labels of field selectors, and what the stored kind calls them where that differs.
    pub field_labels: Vec<(String, String)>,
    /// Whether it is a custom resource, whose list items carry their kind.
    pub custom: bool,
}

impl Resource {
    /// `apps/v1`, or `v1` for the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        api::meta::join_api_version(&self.group, &self.version)
    }

    /// The resource with its group, for messages.
    #[must_use]
    pub fn named(&self) -> api::status::GroupName {
        api::status::GroupName::new(self.group.as_str(), self.plural.as_str())
    }

    /// The kind with its group, for messages of validation: the group under which it is stored, for that is what
    /// upstream validates.
    #[must_use]
    pub fn group_kind(&self) -> api::status::GroupName {
        api::status::GroupName::new(self.storage.0.as_str(), self.kind.as_str())
    }

    /// Whether a verb is served.
    #[must_use]
    pub fn allows(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }

    /// A subresource by name.
    #[must_use]
    pub fn subresource(&self, name: &str) -> Option<&SubResource> {
        self.subresources.iter().find(|s| s.name == name)
    }

    /// Whether its objects are kept at all; reviews are answered and forgotten.
    #[must_use]
    pub fn stored(&self) -> bool {
        self.allows("get") || self.allows("list")
    }

    /// The beginning of the keys of its objects, in one namespace or in all.
    #[must_use]
    pub fn prefix(&self, namespace: &str) -> String {
        let group = if self.storage.0.is_empty() { "core" } else { &self.storage.0 };
        let plural = &self.storage.1;
        match (self.namespaced, namespace) {
            (true, "") | (false, _) => format!("/{group}/{plural}/"),
            (true, namespace) => format!("/{group}/{plural}/{namespace}/"),
        }
    }

    /// The key of one object.
    #[must_use]
    pub fn key(&self, namespace: &str, name: &str) -> String {
        format!("{}{name}", self.prefix(namespace))
    }
}

/// Everything that is served, at one moment.
#[derive(Default)]
pub struct Catalog {
    /// By group, version and plural.
    resources: BTreeMap<(String, String, String), Arc<Resource>>,
}

impl Catalog {
    /// A catalog of these resources.
    pub fn new(resources: impl IntoIterator<Item = Arc<Resource>>) -> Catalog {
        let keyed = resources.into_iter().map(|r| ((r.group.clone(), r.version.clone(), r.plural.clone()), r));
        Catalog { resources: keyed.collect() }
    }

    /// The resource of a path.
    #[must_use]
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.resources.get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    /// The resource whose objects lie below a key, in any of its versions.
    #[must_use]
    pub fn by_key(&self, key: &str) -> Option<&Arc<Resource>> {
        let mut parts = key.trim_start_matches('/').split('/');
        let group = parts.next().map(|g| if g == "core" { "" } else { g })?;
        let plural = parts.next()?;
        self.iter().find(|r| r.storage.0 == group && r.storage.1 == plural && r.conversion.is_none())
    }

    /// All resources, by group, version and plural.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values()
    }

    /// The versions of a group, best first; empty when the group is unknown.
    #[must_use]
    pub fn versions(&self, group: &str) -> Vec<String> {
        let mut versions: Vec<String> = self.iter().filter(|r| r.group == group).map(|r| r.version.clone()).collect();
        versions.dedup();
        versions.sort_by_key(|version| Reverse(rank(version)));
        versions
    }

    /// The groups in the order of their names; the core group first.
    #[must_use]
    pub fn groups(&self) -> Vec<String> {
        let mut groups: Vec<String> = self.iter().map(|r| r.group.clone()).collect();
        groups.dedup();
        groups
    }
}

/// How good a version is: general availability before beta before alpha, then the higher numbers, as upstream's
/// `version.CompareKubeAwareVersionStrings` has it.
fn rank(version: &str) -> (u8, u32, u32) {
    let digits = |text: &str| text.parse::<u32>().unwrap_or(0);
    let Some(rest) = version.strip_prefix('v') else { return (0, 0, 0) };
    for (stage, level) in [("beta", 2), ("alpha", 1)] {
        if let Some((major, minor)) = rest.split_once(stage) {
            return (level, digits(major), digits(minor));
        }
    }
    (3, digits(rest), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn general_availability_ranks_before_beta_and_alpha() {
        let mut versions = ["v1alpha1", "v2", "v1beta2", "v1", "v2beta1"];
        versions.sort_by_key(|version| Reverse(rank(version)));
        assert_eq!(versions, ["v2", "v1", "v2beta1", "v1beta2", "v1alpha1"]);
    }
}
