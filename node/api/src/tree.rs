//! `Tree`: a JSON value as the API server handles it: interned field names, integers kept apart from floats, maps
//! in the order of their keys. It knows no schema.

mod json;
mod map;
mod name;
mod syntax;
mod value;
mod yaml;

pub use json::{DEPTH_MAX, DUPLICATES_MAX, DecodeError, Decoded};
pub use map::Map;
pub use name::Name;
pub use syntax::json_fault;
pub use yaml::{YAML_VALUES_MAX, YamlDecoded};

/// One JSON value. Integers that fit 64 bits signed are `Int`; everything else numeric is `Float`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Tree {
    /// `null`, which the strict decoder mostly drops.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction, an exponent, or beyond 64 bits.
    Float(f64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Tree>),
    /// An object, sorted by key.
    Map(Map),
}

impl Tree {
    /// An empty object.
    #[must_use]
    pub fn map() -> Tree {
        Tree::Map(Map::new())
    }

    /// A string value.
    pub fn text(value: impl Into<String>) -> Tree {
        Tree::Text(value.into())
    }

    /// The string, if this is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Tree::Text(text) = self { Some(text) } else { None }
    }

    /// The whole number, if this is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        if let Tree::Int(value) = self { Some(*value) } else { None }
    }

    /// The truth value, if this is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Tree::Bool(value) = self { Some(*value) } else { None }
    }

    /// The items, if this is an array.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Tree]> {
        if let Tree::List(items) = self { Some(items) } else { None }
    }

    /// The items, to change them, if this is an array.
    pub fn as_list_mut(&mut self) -> Option<&mut Vec<Tree>> {
        if let Tree::List(items) = self { Some(items) } else { None }
    }

    /// The fields, if this is an object.
    #[must_use]
    pub fn as_map(&self) -> Option<&Map> {
        if let Tree::Map(map) = self { Some(map) } else { None }
    }

    /// The fields, to change them, if this is an object.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        if let Tree::Map(map) = self { Some(map) } else { None }
    }

    /// Whether this is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Tree::Null)
    }

    /// What a Go struct with `omitempty` would leave out: null, false, 0, "", [] and {}.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Tree::Null => true,
            Tree::Bool(value) => !value,
            Tree::Int(value) => *value == 0,
            Tree::Float(value) => *value == 0.0,
            Tree::Text(text) => text.is_empty(),
            Tree::List(items) => items.is_empty(),
            Tree::Map(map) => map.is_empty(),
        }
    }

    /// The value of one field of an object.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Tree> {
        self.as_map()?.get(field)
    }

    /// The value of one field of an object, to change it.
    pub fn get_mut(&mut self, field: &str) -> Option<&mut Tree> {
        self.as_map_mut()?.get_mut(field)
    }

    /// Follows field names down; `None` as soon as one is absent. `tree.at(&["spec", "replicas"])`.
    #[must_use]
    pub fn at(&self, fields: &[&str]) -> Option<&Tree> {
        fields.iter().try_fold(self, |tree, field| tree.get(field))
    }

    /// As [`Tree::at`], to change the value.
    pub fn at_mut(&mut self, fields: &[&str]) -> Option<&mut Tree> {
        fields.iter().try_fold(self, |tree, field| tree.get_mut(field))
    }

    /// The string at a path of field names.
    #[must_use]
    pub fn str_at(&self, fields: &[&str]) -> Option<&str> {
        self.at(fields)?.as_str()
    }

    /// The whole number at a path of field names.
    #[must_use]
    pub fn int_at(&self, fields: &[&str]) -> Option<i64> {
        self.at(fields)?.as_int()
    }

    /// The truth value at a path of field names.
    #[must_use]
    pub fn bool_at(&self, fields: &[&str]) -> Option<bool> {
        self.at(fields)?.as_bool()
    }

    /// The items at a path of field names; empty when absent or no array.
    #[must_use]
    pub fn list_at(&self, fields: &[&str]) -> &[Tree] {
        self.at(fields).and_then(Tree::as_list).unwrap_or_default()
    }

    /// The object at a path of field names.
    #[must_use]
    pub fn map_at(&self, fields: &[&str]) -> Option<&Map> {
        self.at(fields)?.as_map()
    }

    /// Sets a field of an object. A value that is no object becomes one.
    pub fn set(&mut self, field: impl Into<Name>, value: impl Into<Tree>) {
        self.make_map().insert(field, value);
    }

    /// Sets the value at a path of field names and makes the objects on the way.
    pub fn set_at(&mut self, fields: &[&str], value: impl Into<Tree>) {
        match fields {
            [] => *self = value.into(),
            [field, rest @ ..] => self.make_map().entry(field).set_at(rest, value),
        }
    }

    /// Takes a field out of an object.
    pub fn remove(&mut self, field: &str) -> Option<Tree> {
        self.as_map_mut()?.remove(field)
    }

    /// Takes the value at a path of field names out.
    pub fn remove_at(&mut self, fields: &[&str]) -> Option<Tree> {
        let (last, above) = fields.split_last()?;
        self.at_mut(above)?.remove(last)
    }

    /// The object in place; a value that is none is replaced by an empty one.
    pub fn make_map(&mut self) -> &mut Map {
        if !matches!(self, Tree::Map(_)) {
            *self = Tree::map();
        }
        match self {
            Tree::Map(map) => map,
            _ => unreachable!("just made a map"),
        }
    }

    /// The name of the value's type as JSON calls it, for messages.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Tree::Null => "null",
            Tree::Bool(_) => "boolean",
            Tree::Int(_) => "integer",
            Tree::Float(_) => "number",
            Tree::Text(_) => "string",
            Tree::List(_) => "array",
            Tree::Map(_) => "object",
        }
    }
}

impl From<&str> for Tree {
    fn from(value: &str) -> Self {
        Tree::Text(value.to_owned())
    }
}

impl From<String> for Tree {
    fn from(value: String) -> Self {
        Tree::Text(value)
    }
}

impl From<bool> for Tree {
    fn from(value: bool) -> Self {
        Tree::Bool(value)
    }
}

impl From<i64> for Tree {
    fn from(value: i64) -> Self {
        Tree::Int(value)
    }
}

impl From<i32> for Tree {
    fn from(value: i32) -> Self {
        Tree::Int(value.into())
    }
}

impl From<Map> for Tree {
    fn from(value: Map) -> Self {
        Tree::Map(value)
    }
}

impl<T: Into<Tree>> From<Vec<T>> for Tree {
    fn from(values: Vec<T>) -> Self {
        Tree::List(values.into_iter().map(Into::into).collect())
    }
}

/// Builds a [`Tree`] in place with JSON's own notation: `tree!({"kind": "Pod", "metadata": {"name": name}})`.
/// A value is a literal, a nested object or array, or any expression that converts into a `Tree`.
#[macro_export]
macro_rules! tree {
    (null) => { $crate::Tree::Null };
    ([ $($item:tt),* $(,)? ]) => { $crate::Tree::List(vec![$($crate::tree!($item)),*]) };
    ({ $($key:literal : $value:tt),* $(,)? }) => {{
        #[allow(unused_mut, reason = "an empty object is not changed")]
        let mut map = $crate::Map::new();
        $(map.insert($key, $crate::tree!($value));)*
        $crate::Tree::Map(map)
    }};
    ($value:expr) => { $crate::Tree::from($value) };
}

#[cfg(test)]
mod tests;
