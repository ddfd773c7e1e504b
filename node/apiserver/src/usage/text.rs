//! Reads metrics in Prometheus' text form (version 0.0.4), as far as a kubelet's `/metrics/resource` goes.

/// One line with a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Series<'a> {
    /// The metric.
    pub name: &'a str,
    /// Its labels in the order of the line.
    pub labels: Vec<(&'a str, String)>,
    /// The value.
    pub value: f64,
    /// When it was measured, milliseconds since 1970, if the line says so.
    pub at_ms: Option<i64>,
}

impl Series<'_> {
    /// A label's value; empty when there is none.
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

/// The lines with values; `None` in place of one that cannot be read.
pub fn read(text: &str) -> impl Iterator<Item = Option<Series<'_>>> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).map(line)
}

fn line(text: &str) -> Option<Series<'_>> {
    let end = text.find(['{', ' '])?;
    let (name, rest) = text.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (Vec::new(), rest),
    };
    let mut words = rest.split_whitespace();
    let value = words.next()?.parse().ok()?;
    let at_ms = words.next().map(str::parse).transpose().ok()?;
    words.next().is_none().then_some(Series { name, labels, value, at_ms })
}

/// Labels and what follows their closing brace.
fn labels(mut rest: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((found, after));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut letters = quoted.char_indices();
        let end = loop {
            match letters.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match letters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, letter) => value.push(letter),
            }
        };
        found.push((name.trim(), value));
        rest = &quoted[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_labels_values_and_times_are_read() {
        let text = "# HELP a b\na 1.5e3\nb{x=\"1\",y=\"q\\\"\\n\"} 2 1700\nc{} 3\n\n";
        let all: Vec<Series> = read(text).map(|series| series.expect("a line")).collect();
        assert_eq!((all[0].name, all[0].value, all[0].at_ms), ("a", 1500.0, None));
        assert_eq!((all[1].label("x"), all[1].label("y"), all[1].label("z")), ("1", "q\"\n", ""));
        assert_eq!(all[1].at_ms, Some(1700));
        assert_eq!((all[2].name, all[2].labels.len()), ("c", 0));
    }

    #[test]
    fn lines_that_break_off_are_told() {
        for wrong in ["a", "a{x=\"1\" 2", "a{x=\"1\\", "a one", "a 1 2 3", "a 1 now"] {
            assert_eq!(read(wrong).collect::<Vec<_>>(), [None], "{wrong}");
        }
    }
}
