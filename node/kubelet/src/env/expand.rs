//! `$(NAME)` in values, commands and arguments. Pure. Syntax as upstream's
//! `third_party/forked/golang/expansion/expand.go`: `$$` is a dollar sign, what is no known name stays as it is.
//!
//! It must not know where values come from.

use k8s_openapi::api::core::v1::Container;
use std::collections::BTreeMap;

/// Replaces every reference by what `value` says; an unknown one (`None`) stays as written.
#[must_use]
pub fn expand(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let mut letters = after.chars();
        match letters.next() {
            None => {
                out.push('$');
                return out;
            }
            Some('$') => {
                out.push('$');
                rest = letters.as_str();
            }
            Some('(') => match after.find(')') {
                Some(end) => {
                    let name = &after[1..end];
                    out.push_str(&value(name).unwrap_or_else(|| format!("$({name})")));
                    rest = &after[end + 1..];
                }
                None => {
                    out.push_str("$(");
                    rest = letters.as_str();
                }
            },
            Some(other) => {
                out.push('$');
                out.push(other);
                rest = letters.as_str();
            }
        }
    }
    out.push_str(rest);
    out
}

/// Command and arguments of a container with its environment put in.
#[must_use]
pub fn process(container: &Container, variables: &BTreeMap<String, String>) -> (Vec<String>, Vec<String>) {
    let all = |list: &Option<Vec<String>>| {
        list.iter().flatten().map(|text| expand(text, |name| variables.get(name).cloned())).collect()
    };
    (all(&container.command), all(&container.args))
}

/// A probe's or hook's command: only values written in the spec itself are put in, as upstream does.
#[must_use]
pub fn static_command(command: &[String], container: &Container) -> Vec<String> {
    let known = |name: &str| {
        let variable = container.env.iter().flatten().rev().find(|v| v.name == name);
        variable.map(|v| v.value.clone().unwrap_or_default())
    };
    command.iter().map(|text| expand(text, known)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_and_dollars_escaped() {
        let value = |name: &str| (name == "A").then(|| "x".to_owned());
        for (text, wanted) in [
            ("$(A)-$(A)", "x-x"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$x"),
            ("$(B)", "$(B)"),
            ("$(A", "$(A"),
            ("a$", "a$"),
            ("$A", "$A"),
            ("$()", "$()"),
            ("ä$(A)ö$ü", "äxö$ü"),
        ] {
            assert_eq!(expand(text, value), wanted, "{text}");
        }
    }

    #[test]
    fn a_value_is_not_expanded_again() {
        assert_eq!(expand("$(A)", |_| Some("$(A)".to_owned())), "$(A)");
    }
}
