//! Amounts by resource name, and the two ways in which lists are joined.

use api::{Quantity, Tree};
use std::collections::BTreeMap;

/// Amounts by resource name (`cpu`, `memory`, `example.com/gpu`, ...).
pub type ResourceList = BTreeMap<String, Quantity>;

/// An amount in an object that cannot be read. Stored objects have been validated, so this is met only when a
/// manifest is looked at before that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {text:?} is no quantity: {reason}")]
pub struct Malformed {
    /// The field's path.
    pub field: String,
    /// What it holds.
    pub text: String,
    /// What is wrong.
    pub reason: String,
}

/// The list at `fields` of `object`; empty when there is none.
///
/// # Errors
/// When an amount is no quantity.
pub fn read(object: &Tree, fields: &[&str]) -> Result<ResourceList, Malformed> {
    let mut list = ResourceList::new();
    for (name, value) in object.map_at(fields).into_iter().flat_map(api::Map::iter) {
        let text = match (value.as_str(), value.as_int()) {
            (Some(text), _) => text.to_owned(),
            (None, Some(number)) => number.to_string(),
            (None, None) => String::new(),
        };
        let malformed = |reason: String| Malformed {
            field: format!("{}[{}]", fields.join("."), name.as_str()),
            text: text.clone(),
            reason,
        };
        let amount = Quantity::parse(&text).map_err(|e| malformed(e.to_string()))?;
        list.insert(name.as_str().to_owned(), amount);
    }
    Ok(list)
}

/// Adds `more` to `list`.
pub fn add(list: &mut ResourceList, more: &ResourceList) {
    for (name, amount) in more {
        match list.get_mut(name) {
            Some(there) => *there = there.plus(amount),
            None => {
                list.insert(name.clone(), amount.clone());
            }
        }
    }
}

/// Raises `list` to `other` where that is more.
pub fn raise(list: &mut ResourceList, other: &ResourceList) {
    for (name, amount) in other {
        if list.get(name).is_none_or(|there| amount > there) {
            list.insert(name.clone(), amount.clone());
        }
    }
}
