//! Changing a kubeconfig line by line, for files in block style as kubectl and people write them.
//!
//! Nothing here has to understand all of YAML: the caller parses the result and compares. `None` means "not a file that
//! can be changed by lines".

use super::Change;
use serde_json::Value;

/// A list of the file, as ranges of its lines.
struct Section {
    /// The line with the key.
    head: usize,
    /// Blanks before each dash.
    indent: usize,
    /// First line and line after the last of each element.
    items: Vec<(usize, usize)>,
    /// The line after the last element.
    end: usize,
}

/// `existing`, which means `before`, with `changes` made in its lines.
pub(super) fn edit(existing: &str, before: &Value, changes: &[Change]) -> Option<String> {
    let mut lines: Vec<String> = existing.lines().map(str::to_owned).collect();
    for (key, value) in [("apiVersion", "v1"), ("kind", "Config")] {
        if before.get(key).is_none() {
            let place = lines.iter().take_while(|line| line.starts_with('#')).count();
            lines.insert(
                if key == "kind" { after_key(&lines, "apiVersion").unwrap_or(place) } else { place },
                format!("{key}: {value}"),
            );
        }
    }
    for change in changes {
        match change {
            Change::Put(list, item) => put(&mut lines, list, item)?,
            Change::Take(list, name) => take(&mut lines, list, name)?,
            Change::Current(name) => current(&mut lines, name),
        }
    }
    let mut text = lines.join("\n");
    text.push('\n');
    Some(text)
}

fn after_key(lines: &[String], key: &str) -> Option<usize> {
    lines.iter().position(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':'))).map(|at| at + 1)
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn is_note(line: &str) -> bool {
    line.trim().is_empty() || line.trim_start().starts_with('#')
}

fn is_dash(line: &str, indent: usize) -> bool {
    indent_of(line) == indent && (line[indent..].starts_with("- ") || line[indent..].trim_end() == "-")
}

/// Finds a list; `Ok(None)` when the file has no such key.
fn section(lines: &[String], list: &str) -> Option<Option<Section>> {
    let Some(head) = after_key(lines, list).map(|at| at - 1) else { return Some(None) };
    let rest = lines[head][list.len() + 1..].trim();
    let value = rest.split(" #").next().unwrap_or_default().trim();
    if !matches!(value, "" | "[]" | "null" | "~") && !value.starts_with('#') {
        return None;
    }
    let mut end = head + 1;
    while end < lines.len() && (is_note(&lines[end]) || lines[end].starts_with([' ', '-'])) {
        if lines[end].starts_with("---") {
            return None;
        }
        end += 1;
    }
    let own_end = |from: usize, mut to: usize| {
        // Notes at the end of an element belong to what follows.
        while to > from && is_note(&lines[to - 1]) {
            to -= 1;
        }
        to
    };
    let end = own_end(head + 1, end);
    let body = lines[head + 1..end].iter().find(|line| !is_note(line));
    let indent = body.map_or(0, |line| indent_of(line));
    let starts: Vec<usize> = (head + 1..end).filter(|at| is_dash(&lines[*at], indent)).collect();
    if body.is_some() && starts.first().is_none_or(|first| lines[head + 1..*first].iter().any(|line| !is_note(line))) {
        return None;
    }
    let items = starts
        .iter()
        .enumerate()
        .map(|(n, start)| (*start, own_end(*start, starts.get(n + 1).copied().unwrap_or(end))))
        .collect();
    Some(Some(Section { head, indent, items, end }))
}

/// The name that the element in `lines` has.
fn name_of(lines: &[String]) -> Option<String> {
    let parsed: Value = serde_saphyr::from_str(&(lines.join("\n") + "\n")).ok()?;
    parsed.get(0)?.get("name")?.as_str().map(str::to_owned)
}

fn find(lines: &[String], section: &Section, name: &str) -> Option<Option<(usize, usize)>> {
    for (start, end) in &section.items {
        if name_of(&lines[*start..*end])? == name {
            return Some(Some((*start, *end)));
        }
    }
    Some(None)
}

fn put(lines: &mut Vec<String>, list: &str, item: &Value) -> Option<()> {
    let Some(found) = section(lines, list)? else {
        lines.push(format!("{list}:"));
        lines.extend(render(item, 0)?);
        return Some(());
    };
    let fresh = render(item, found.indent)?;
    match find(lines, &found, item["name"].as_str()?)? {
        Some((start, end)) => {
            lines.splice(start..end, fresh);
        }
        None => {
            lines.splice(found.end..found.end, fresh);
            if found.items.is_empty() {
                lines[found.head] = format!("{list}:");
            }
        }
    }
    Some(())
}

fn take(lines: &mut Vec<String>, list: &str, name: &str) -> Option<()> {
    let Some(found) = section(lines, list)? else {
        lines.push(format!("{list}: []"));
        return Some(());
    };
    if let Some((start, end)) = find(lines, &found, name)? {
        lines.drain(start..end);
        if found.items.len() == 1 {
            lines[found.head] = format!("{list}: []");
        }
    }
    Some(())
}

fn current(lines: &mut Vec<String>, name: &str) {
    let line = format!("current-context: {}", scalar(name));
    match after_key(lines, "current-context") {
        Some(after) => lines[after - 1] = line,
        None => lines.push(line),
    }
}

/// The lines of an element: `name` last, as kubectl sorts.
fn render(item: &Value, indent: usize) -> Option<Vec<String>> {
    let blanks = " ".repeat(indent);
    let mut lines = Vec::new();
    for (key, value) in item.as_object()? {
        let lead = if lines.is_empty() { "- " } else { "  " };
        match value {
            Value::String(text) => lines.push(format!("{blanks}{lead}{key}: {}", scalar(text))),
            Value::Object(map) => {
                lines.push(format!("{blanks}{lead}{key}:"));
                for (key, value) in map {
                    lines.push(format!("{blanks}    {key}: {}", scalar(value.as_str()?)));
                }
            }
            _ => return None,
        }
    }
    Some(lines)
}

/// A string as YAML: plain where nothing can take it for something else, else in double quotes as JSON.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_./:@-+=".contains(c))
        && !text.ends_with(':')
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { Value::from(text).to_string() }
}
