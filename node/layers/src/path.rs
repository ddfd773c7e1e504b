//! Names of members as paths below the folder: no leading slash, no empty part, no `.` and no `..`. What `..` takes
//! back is what stands before it in the name, whether that is a link or not, as Go's `filepath.Clean` has it.

use crate::error::Problem;

/// The longest path, in bytes: the kernel takes no longer one in a call.
pub const PATH_BYTES_MAX: usize = 4096;
/// The longest part of a path, in bytes: no common file system keeps a longer one.
pub const NAME_BYTES_MAX: usize = 255;

/// A path below the folder. Empty for the folder itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaned(Vec<u8>);

impl Cleaned {
    /// Cleans a name. `..` at the top stays at the top.
    pub fn of(name: &[u8]) -> Result<Cleaned, Problem> {
        let mut path = Vec::with_capacity(name.len().min(PATH_BYTES_MAX));
        for part in name.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => path.truncate(parent(&path).len()),
                _ if part.len() > NAME_BYTES_MAX => return Err(Problem::Invalid("a part of its name is too long")),
                _ => push(&mut path, part),
            }
        }
        if path.len() > PATH_BYTES_MAX {
            return Err(Problem::Invalid("its name is too long"));
        }
        Ok(Cleaned(path))
    }

    /// The whole path.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Everything before the last part.
    pub fn parent(&self) -> &[u8] {
        parent(&self.0)
    }

    /// The last part.
    pub fn name(&self) -> &[u8] {
        let parent = self.parent().len();
        if parent == 0 { &self.0 } else { &self.0[parent + 1..] }
    }
}

/// Everything before the last part of a clean path.
pub fn parent(path: &[u8]) -> &[u8] {
    &path[..path.iter().rposition(|byte| *byte == b'/').unwrap_or_default()]
}

/// Appends a part to a clean path.
pub fn push(path: &mut Vec<u8>, part: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(part);
}

/// A clean path and one more part.
pub fn join(path: &[u8], part: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(path.len() + 1 + part.len());
    joined.extend_from_slice(path);
    push(&mut joined, part);
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_and_stay_below_the_folder() {
        for (name, clean) in [
            ("a", "a"),
            ("./a//b/", "a/b"),
            ("/a/./b", "a/b"),
            ("./a//b/../c", "a/c"),
            ("../../a", "a"),
            ("a/../../b", "b"),
            ("a/..", ""),
            ("..", ""),
            ("./", ""),
            ("/", ""),
            ("", ""),
            ("...", "..."),
            ("a/..b", "a/..b"),
        ] {
            assert_eq!(Cleaned::of(name.as_bytes()).unwrap().bytes(), clean.as_bytes(), "{name}");
        }
    }

    #[test]
    fn a_path_is_its_parent_and_its_name() {
        for (path, parent, name) in [("a", "", "a"), ("a/b/c", "a/b", "c"), ("", "", "")] {
            let clean = Cleaned::of(path.as_bytes()).unwrap();
            assert_eq!((clean.parent(), clean.name()), (parent.as_bytes(), name.as_bytes()), "{path}");
        }
    }

    #[test]
    fn names_that_no_disk_takes_are_refused() {
        assert!(Cleaned::of(&[b'a'; NAME_BYTES_MAX]).is_ok());
        assert!(Cleaned::of(&[b'a'; NAME_BYTES_MAX + 1]).is_err());
        assert!(Cleaned::of("abc/".repeat(PATH_BYTES_MAX / 4).as_bytes()).is_ok());
        assert!(Cleaned::of("abcd/".repeat(PATH_BYTES_MAX / 4).as_bytes()).is_err());
    }
}
