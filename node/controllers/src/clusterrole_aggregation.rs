//! The controller of aggregated ClusterRoles: fills the rules of those that gather others by label. Behaviour as
//! upstream's `pkg/controller/clusterroleaggregation`.
//!
//! It must not judge anybody's rights.

use crate::context::{Context, Life, selects};
use api::Status;
use client::{After, Meta, ObjectKey, Patch, Queue};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use serde_json::json;
use std::sync::Arc;

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(async move {
        let queue = Arc::new(Queue::default());
        let roles = context.informers.of::<ClusterRole>();
        let (fed, all) = (queue.clone(), roles.clone());
        // Roles are few and who gathers whom is not known beforehand, so every change is one for all that gather.
        roles.on_change(move |_| {
            all.all().iter().filter(|role| role.aggregation_rule.is_some()).for_each(|role| fed.add(role.key()));
        });
        roles.synced().await;
        let look = |key: ObjectKey| {
            let (context, roles) = (&context, &roles);
            async move {
                let Some(role) = roles.get(&key) else { return Ok(After::Done) };
                let Some(rules) = gathered(&role, &roles.all()) else { return Ok(After::Done) };
                write(context, &role, &rules).await
            }
        };
        context.work("clusterrole-aggregation", &queue, look).await;
    })
}

/// The rules that a role gathers; `None` when it gathers nothing or has them already.
fn gathered(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Option<Vec<PolicyRule>> {
    let rule = role.aggregation_rule.as_ref()?;
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in rule.cluster_role_selectors.iter().flatten() {
        let labels = |other: &ClusterRole| selects(Some(selector), other.metadata.labels.as_ref());
        let mut chosen: Vec<&Arc<ClusterRole>> =
            all.iter().filter(|other| other.name() != role.name() && labels(other)).collect();
        chosen.sort_by_key(|other| other.name().to_owned());
        for given in chosen.into_iter().flat_map(|other| other.rules.iter().flatten()) {
            if !rules.contains(given) {
                rules.push(given.clone());
            }
        }
    }
    (rules != role.rules.clone().unwrap_or_default()).then_some(rules)
}

async fn write(context: &Context, role: &ClusterRole, rules: &[PolicyRule]) -> Result<After, Status> {
    let change = json!({"metadata": {"uid": role.uid()}, "rules": rules});
    context.client.of::<ClusterRole>().patch("", role.name(), "", &Patch::Merge(change)).await?;
    Ok(After::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, until_writes_end};
    use client::fake::Fake;
    use serde_json::Value;

    fn role(name: &str, label: &str, gathers: &str, verbs: &[&str]) -> ClusterRole {
        let rules: Vec<Value> = verbs.iter().map(|verb| json!({"verbs": [verb]})).collect();
        let mut tree = json!({"metadata": {"name": name, "uid": name, "labels": {"to": label}}, "rules": rules});
        if !gathers.is_empty() {
            tree["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"to": gathers}}]});
        }
        serde_json::from_value(tree).unwrap()
    }

    fn verbs(rules: &[PolicyRule]) -> Vec<&str> {
        rules.iter().flat_map(|rule| rule.verbs.iter().map(String::as_str)).collect()
    }

    #[test]
    fn rules_come_in_the_order_of_names_and_once() {
        let all = [role("b", "x", "", &["list", "get"]), role("a", "x", "", &["get"]), role("c", "y", "", &["watch"])];
        let all = all.map(Arc::new);
        let rules = gathered(&role("all", "x", "x", &[]), &all).unwrap();
        assert_eq!(verbs(&rules), ["get", "list"]);
        assert_eq!(gathered(&role("all", "x", "x", &["get", "list"]), &all), None);
        assert_eq!(gathered(&role("all", "x", "", &[]), &all), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_gathered_is_gathered_on() {
        let server = Fake::new();
        for one in
            [role("admin", "", "admin", &[]), role("edit", "admin", "edit", &[]), role("own", "edit", "", &["get"])]
        {
            server.put(&one);
        }
        let (context, stop) = context(&server);
        let life = tokio::spawn(start(context));
        until_writes_end(&server).await;
        let all = server.all::<ClusterRole>();
        let admin = all.iter().find(|role| role.name() == "admin").unwrap();
        assert_eq!(verbs(admin.rules.as_deref().unwrap_or_default()), ["get"]);
        stop.cancel();
        life.await.unwrap();
    }
}
