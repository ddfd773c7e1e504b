//! Who calls. A `Caller` is only made by authentication (or by impersonation, from another caller that may).

use std::collections::BTreeMap;

/// An authenticated user. Its fields are read freely and set only in `authn` and `impersonate`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

/// Every user but the anonymous one.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Users without credentials.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The user without credentials.
pub const ANONYMOUS: &str = "system:anonymous";
/// May do everything.
pub const MASTERS: &str = "system:masters";

impl Caller {
    /// A user whose credentials were checked. The group of authenticated users is added.
    pub(crate) fn authenticated(name: impl Into<String>, groups: impl IntoIterator<Item = String>) -> Caller {
        let mut groups: Vec<String> = groups.into_iter().collect();
        if !groups.iter().any(|g| g == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Caller { name: name.into(), uid: String::new(), groups, extra: BTreeMap::new() }
    }

    /// The user without credentials.
    pub(crate) fn anonymous() -> Caller {
        Caller { name: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..Caller::default() }
    }

    /// A user that another one acts as; its groups are exactly these.
    pub(crate) fn impersonated(
        name: String,
        uid: String,
        groups: Vec<String>,
        extra: BTreeMap<String, Vec<String>>,
    ) -> Caller {
        Caller { name, uid, groups, extra }
    }

    /// A component of this process, with the identity that it would have outside.
    #[must_use]
    pub fn component(name: &str, groups: &[&str]) -> Caller {
        Caller::authenticated(name, groups.iter().map(|g| (*g).to_owned()))
    }

    /// The same with a uid.
    pub(crate) fn with_uid(mut self, uid: impl Into<String>) -> Caller {
        self.uid = uid.into();
        self
    }

    /// The same with one more thing known about the user.
    pub(crate) fn with_extra(mut self, key: &str, value: impl Into<String>) -> Caller {
        self.extra.entry(key.to_owned()).or_default().push(value.into());
        self
    }

    /// The user's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The user's uid; empty when unknown.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The user's groups.
    #[must_use]
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// Whether the user is in a group.
    #[must_use]
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// What else authentication knows, such as the pod of a service account's token.
    #[must_use]
    pub fn extra(&self) -> &BTreeMap<String, Vec<String>> {
        &self.extra
    }

    /// Namespace and name, if the user is a service account.
    #[must_use]
    pub fn service_account(&self) -> Option<(&str, &str)> {
        self.name.strip_prefix("system:serviceaccount:")?.split_once(':')
    }
}
