//! Sets of completion indexes and the text that keeps them in a status: `0,2-5`.
//!
//! It must not know jobs or pods.

use std::collections::BTreeSet;

/// Reads `0,2-5`. Parts that make no sense, and indexes at or above the limit, are left out.
#[must_use]
pub fn parse(text: &str, limit: i32) -> BTreeSet<i32> {
    let mut all = BTreeSet::new();
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) else { continue };
        all.extend(first..=last.min(limit - 1));
    }
    all
}

/// Writes `0,2-5`; two neighbours are written as `2,3`.
#[must_use]
pub fn format(indexes: &BTreeSet<i32>) -> String {
    let mut parts: Vec<(i32, i32)> = Vec::new();
    for index in indexes {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => parts.push((*index, *index)),
        }
    }
    let text = parts.iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    });
    text.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_set_are_the_same() {
        for text in ["", "0", "0,1", "0-2,4,6,7", "3-9"] {
            assert_eq!(format(&parse(text, 10)), text);
        }
        assert_eq!(format(&parse("3-90", 5)), "3,4");
    }
}
