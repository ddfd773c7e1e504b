//! The three forms in which keys arrive, read into pairs of name and value. Pure: text in, pairs out.

/// The `skerry.*` words of a kernel command line. Blanks inside double quotes belong to the word, as for the kernel.
pub fn command_line(line: &str) -> Vec<(String, String)> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.trim().chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => words.push(String::new()),
            c => words.last_mut().expect("starts with one").push(c),
        }
    }
    let ours = words.into_iter().filter(|word| word.starts_with("skerry."));
    ours.map(|word| match word.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (word, "yes".to_owned()),
    })
    .collect()
}

/// One key of fw_cfg: the file's name below `opt/skerry/`, with or without the leading `skerry.`, and its bytes.
/// A line end that `echo` has left is no part of the value.
pub fn fw_cfg(name: &str, raw: &[u8]) -> Result<(String, String), String> {
    let value = std::str::from_utf8(raw).map_err(|_| "is not text in UTF-8; ignored".to_owned())?;
    Ok((full_name(name), value.trim_end_matches(['\n', '\0']).to_owned()))
}

/// The keys of a `skerry.toml`: tables become dots, lists become commas. A leading `skerry` table may be left out.
pub fn toml_text(text: &str) -> Result<Vec<(String, String)>, String> {
    let table: toml::Table = toml::from_str(text).map_err(|e| {
        let at = e.span().map(|span| text[..span.start.min(text.len())].lines().count().max(1));
        let line = at.map(|n| format!("line {n}: ")).unwrap_or_default();
        format!("{line}{}; the file is ignored", e.message())
    })?;
    let mut pairs = Vec::new();
    flatten("", &toml::Value::Table(table), &mut pairs);
    Ok(pairs.into_iter().map(|(name, value)| (full_name(&name), value)).collect())
}

fn flatten(name: &str, value: &toml::Value, into: &mut Vec<(String, String)>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(&name, value, into);
            }
        }
        toml::Value::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            into.push((name.to_owned(), items.join(",")));
        }
        other => into.push((name.to_owned(), plain(other))),
    }
}

fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn full_name(name: &str) -> String {
    if name.starts_with("skerry.") { name.to_owned() } else { format!("skerry.{name}") }
}
