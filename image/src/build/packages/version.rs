//! The order of package versions, as deb-version(7) defines it: `[epoch:]upstream[-revision]`.

use std::cmp::Ordering;

/// Compares two versions: which is newer.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (split(a), split(b));
    a.0.cmp(&b.0).then_with(|| part(a.1, b.1)).then_with(|| part(a.2, b.2))
}

/// Epoch, upstream version, revision. An epoch that is no number counts as none.
fn split(version: &str) -> (u64, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch.parse().unwrap_or(0), upstream, revision)
}

/// Runs of other characters and runs of digits in turn, the former by `weight`, the latter as numbers.
fn part(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (a_word, a_rest) = cut(a, |c| !c.is_ascii_digit());
        let (b_word, b_rest) = cut(b, |c| !c.is_ascii_digit());
        let (a_number, a_next) = cut(a_rest, |c| c.is_ascii_digit());
        let (b_number, b_next) = cut(b_rest, |c| c.is_ascii_digit());
        let order = words(a_word, b_word).then_with(|| numbers(a_number, b_number));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (a_next, b_next);
    }
    Ordering::Equal
}

fn cut(text: &str, inside: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !inside(c)).unwrap_or(text.len()))
}

fn words(a: &str, b: &str) -> Ordering {
    let longest = a.len().max(b.len());
    (0..longest)
        .map(|at| weight(a.as_bytes().get(at)).cmp(&weight(b.as_bytes().get(at))))
        .find(|o| o.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// A tilde sorts before the end, the end before letters, letters before all else.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(*letter),
        Some(other) => i32::from(*other) + 256,
    }
}

/// As numbers of any length: without leading zeros the longer is the greater.
fn numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_the_package_manager_orders_them() {
        let ordered = [
            "1.0~rc1-1",
            "1.0-1",
            "1.0-1+b1",
            "1.0-1+b2",
            "1.0-1+b10",
            "1.0+ds1-1",
            "1.0.1-1",
            "1.9-1",
            "1.10-1",
            "6.12.107-1",
            "6.12.117-1~deb12u1",
            "6.12.117-1",
            "1:0.1-1",
        ];
        for (at, one) in ordered.iter().enumerate() {
            for other in &ordered[at + 1..] {
                assert_eq!(compare(one, other), Ordering::Less, "{one} < {other}");
                assert_eq!(compare(other, one), Ordering::Greater, "{other} > {one}");
            }
            assert_eq!(compare(one, one), Ordering::Equal);
        }
    }

    #[test]
    fn leading_zeros_do_not_count() {
        assert_eq!(compare("1.01-1", "1.1-1"), Ordering::Equal);
    }
}
