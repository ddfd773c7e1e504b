//! Acting as another user, for those who may. Rules of `k8s.io/apiserver/pkg/endpoints/filters/impersonation`.

use crate::authz::Action;
use crate::caller::{ANONYMOUS, AUTHENTICATED, Caller, UNAUTHENTICATED};
use crate::request::unescape;
use crate::server::Server;
use api::Status;
use std::collections::BTreeMap;

const EXTRA_PREFIX: &str = "impersonate-extra-";

/// The user that the request acts as.
///
/// # Errors
/// 400 for headers without a user, 403 when the caller may not act as it.
pub fn apply(server: &Server, caller: Caller, headers: &http::HeaderMap) -> Result<Caller, Status> {
    let texts = |name: &str| -> Vec<String> {
        headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).map(str::to_owned).collect()
    };
    let (user, mut groups, uid) = (texts("impersonate-user"), texts("impersonate-group"), texts("impersonate-uid"));
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in headers.keys().map(http::HeaderName::as_str).filter(|name| name.starts_with(EXTRA_PREFIX)) {
        extra.insert(unescape(&name[EXTRA_PREFIX.len()..]), texts(name));
    }
    let Some(name) = user.into_iter().next().filter(|name| !name.is_empty()) else {
        if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            return Ok(caller);
        }
        return Err(nobody(&groups, uid.first().map(String::as_str).unwrap_or_default(), &extra));
    };
    let may = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| {
        let action = Action {
            verb: "impersonate".to_owned(),
            group: group.to_owned(),
            version: "v1".to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            is_resource: true,
            ..Action::default()
        };
        server.authorizer.check(&caller, &action)
    };
    let account = name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    match account {
        Some((namespace, account)) => {
            may("", "serviceaccounts", "", namespace, account)?;
            if groups.is_empty() {
                groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
            } else {
                groups.iter().try_for_each(|group| may("", "groups", "", "", group))?;
            }
        }
        None => {
            may("", "users", "", "", &name)?;
            groups.iter().try_for_each(|group| may("", "groups", "", "", group))?;
        }
    }
    for (key, values) in &extra {
        values.iter().try_for_each(|value| may("authentication.k8s.io", "userextras", key, "", value))?;
    }
    let uid = uid.into_iter().next().unwrap_or_default();
    if !uid.is_empty() {
        may("authentication.k8s.io", "uids", "", "", &uid)?;
    }
    let implied = if name == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
    if !groups.iter().any(|g| g == AUTHENTICATED || g == UNAUTHENTICATED) {
        groups.push(implied.to_owned());
    }
    Ok(Caller::impersonated(name, uid, groups, extra))
}

/// Refuses headers that name no user, and shows what they name as Go prints it.
fn nobody(groups: &[String], uid: &str, extra: &BTreeMap<String, Vec<String>>) -> Status {
    let texts = |values: &[String]| match values {
        [] => "[]string(nil)".to_owned(),
        values => format!("[]string{{{}}}", values.iter().map(|v| format!("{v:?}")).collect::<Vec<_>>().join(", ")),
    };
    let extra = if extra.is_empty() {
        "map[string][]string(nil)".to_owned()
    } else {
        let entries = extra.iter().map(|(key, values)| format!("{key:?}:{}", texts(values)));
        format!("map[string][]string{{{}}}", entries.collect::<Vec<_>>().join(", "))
    };
    let asked = format!("&user.DefaultInfo{{Name:\"\", UID:{uid:?}, Groups:{}, Extra:{extra}}}", texts(groups));
    Status::bad_request(format!("requested {asked} without impersonating a user name"))
}
