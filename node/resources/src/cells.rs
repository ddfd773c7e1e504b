//! What table cells share: ages and lists, as `kubectl` has shown them for years. Forms of
//! `k8s.io/apimachinery/pkg/util/duration` and `k8s.io/kubernetes/pkg/printers`.

use api::Tree;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// A span of seconds in the two or three characters that matter.
#[must_use]
pub fn span(seconds: i64) -> String {
    let pair = |big: i64, unit: &str, rest: i64, small: &str| {
        if rest == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{rest}{small}") }
    };
    match seconds {
        s if s < -1 => "<invalid>".to_owned(),
        s if s < 0 => "0s".to_owned(),
        s if s < 2 * MINUTE => format!("{s}s"),
        s if s < 10 * MINUTE => pair(s / MINUTE, "m", s % MINUTE, "s"),
        s if s < 3 * HOUR => format!("{}m", s / MINUTE),
        s if s < 8 * HOUR => pair(s / HOUR, "h", s % HOUR / MINUTE, "m"),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => pair(s / DAY, "d", s % DAY / HOUR, "h"),
        s if s < 2 * YEAR => format!("{}d", s / DAY),
        s if s < 8 * YEAR => pair(s / YEAR, "y", s % YEAR / DAY, "d"),
        s => format!("{}y", s / YEAR),
    }
}

/// The time since an RFC 3339 stamp; `<unknown>` without one.
#[must_use]
pub fn since(stamp: Option<&str>, now: i64) -> String {
    let time = stamp.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    time.map_or("<unknown>".to_owned(), |time| span(now - time.as_second()))
}

/// The age of an object.
#[must_use]
pub fn age(object: &Tree, now: i64) -> Tree {
    Tree::text(since(object.str_at(&["metadata", "creationTimestamp"]), now))
}

/// A text, or what stands for none.
#[must_use]
pub fn or_none(text: Option<&str>) -> Tree {
    Tree::text(text.filter(|t| !t.is_empty()).unwrap_or("<none>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short_and_lose_what_does_not_matter() {
        let shown = [5, 119, 125, 600, 3600 * 3, 3600 * 5 + 120, 86400 * 3 + 7200, 86400 * 30, YEAR * 3].map(span);
        assert_eq!(shown, ["5s", "119s", "2m5s", "10m", "3h", "5h2m", "3d2h", "30d", "3y"]);
    }
}
