//! The fields of an object: a vector sorted by name. Objects of the API are small, so this beats a tree or a hash.

use super::{Name, Tree};

/// An object's fields in the order of their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map(Vec<(Name, Tree)>);

impl Map {
    /// No fields.
    #[must_use]
    pub fn new() -> Map {
        Map::default()
    }

    /// The fields given in any order; of equal names the last is kept.
    #[must_use]
    pub fn from_fields(mut fields: Vec<(Name, Tree)>) -> Map {
        if !fields.is_sorted_by(|(a, _), (b, _)| a < b) {
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            fields.reverse();
            fields.dedup_by(|(a, _), (b, _)| a == b);
            fields.reverse();
        }
        Map(fields)
    }

    /// The fields in the order of their names, as a plain vector; [`Map::from_fields`] is the way back.
    #[must_use]
    pub fn into_fields(self) -> Vec<(Name, Tree)> {
        self.0
    }

    fn find(&self, field: &str) -> Result<usize, usize> {
        // Decoders mostly deliver sorted input: look at the end first.
        match self.0.last() {
            Some((last, _)) if last.as_str() < field => Err(self.0.len()),
            _ => self.0.binary_search_by(|(name, _)| name.as_str().cmp(field)),
        }
    }

    /// The value of a field.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Tree> {
        self.find(field).ok().map(|i| &self.0[i].1)
    }

    /// The value of a field, to change it.
    pub fn get_mut(&mut self, field: &str) -> Option<&mut Tree> {
        self.find(field).ok().map(|i| &mut self.0[i].1)
    }

    /// Whether the field is there, whatever its value.
    #[must_use]
    pub fn contains(&self, field: &str) -> bool {
        self.find(field).is_ok()
    }

    /// Sets a field; the value it had is returned.
    pub fn insert(&mut self, field: impl Into<Name>, value: impl Into<Tree>) -> Option<Tree> {
        let name = field.into();
        match self.find(&name) {
            Ok(i) => Some(std::mem::replace(&mut self.0[i].1, value.into())),
            Err(i) => {
                self.0.insert(i, (name, value.into()));
                None
            }
        }
    }

    /// The field's value, made `Null` when absent.
    pub fn entry(&mut self, field: &str) -> &mut Tree {
        let i = match self.find(field) {
            Ok(i) => i,
            Err(i) => {
                self.0.insert(i, (Name::new(field), Tree::Null));
                i
            }
        };
        &mut self.0[i].1
    }

    /// Takes a field out.
    pub fn remove(&mut self, field: &str) -> Option<Tree> {
        self.find(field).ok().map(|i| self.0.remove(i).1)
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields in the order of their names.
    pub fn iter(&self) -> std::slice::Iter<'_, (Name, Tree)> {
        self.0.iter()
    }

    /// The fields in the order of their names, to change the values.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Name, &mut Tree)> {
        self.0.iter_mut().map(|(name, value)| (&*name, value))
    }

    /// The names of the fields.
    pub fn keys(&self) -> impl Iterator<Item = &Name> {
        self.0.iter().map(|(name, _)| name)
    }

    /// The values of the fields.
    pub fn values(&self) -> impl Iterator<Item = &Tree> {
        self.0.iter().map(|(_, value)| value)
    }

    /// Keeps the fields for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&Name, &mut Tree) -> bool) {
        self.0.retain_mut(|(name, value)| keep(name, value));
    }
}

impl IntoIterator for Map {
    type Item = (Name, Tree);
    type IntoIter = std::vec::IntoIter<(Name, Tree)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = &'a (Name, Tree);
    type IntoIter = std::slice::Iter<'a, (Name, Tree)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<N: Into<Name>, T: Into<Tree>> FromIterator<(N, T)> for Map {
    fn from_iter<I: IntoIterator<Item = (N, T)>>(pairs: I) -> Map {
        let mut map = Map::new();
        for (name, value) in pairs {
            map.insert(name, value);
        }
        map
    }
}
