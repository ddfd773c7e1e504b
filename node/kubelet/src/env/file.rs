//! One variable out of a file of variables (`fileKeyRef`). Pure. Syntax as upstream's `pkg/kubelet/util/env`:
//! `NAME='value'`, values may span lines, comments and blank lines between.
//!
//! It must not open files.

/// The value of `key`; empty when the file does not set it.
///
/// # Errors
/// When the file up to the key does not follow the syntax.
pub fn value(text: &str, key: &str) -> Result<String, String> {
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let number = index + 1;
        let wrong = |what: &str| format!("invalid environment variable format at line {number}: {what}");
        let line = line.trim_start_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, rest) = line.split_once('=').ok_or_else(|| wrong("missing '='"))?;
        if name.trim_end_matches([' ', '\t']).is_empty() {
            return Err(wrong("empty variable name"));
        }
        if name.ends_with([' ', '\t']) {
            return Err(wrong("whitespace before '=' is not allowed"));
        }
        if rest.starts_with([' ', '\t']) {
            // A shell reads this as an empty value.
            if name == key {
                return Ok(String::new());
            }
            continue;
        }
        let mut rest = rest.strip_prefix('\'').ok_or_else(|| wrong("value must be enclosed in single quotes"))?;
        let mut found = String::new();
        let after = loop {
            if let Some((value, after)) = rest.split_once('\'') {
                found.push_str(value);
                break after.trim_start_matches([' ', '\t']);
            }
            found.push_str(rest);
            found.push('\n');
            let unclosed =
                format!("invalid environment variable format starting at line {number}: unclosed single quote");
            rest = lines.next().ok_or(unclosed)?.1;
        };
        if !after.is_empty() && !after.starts_with('#') {
            return Err(wrong("unexpected content after closing quote"));
        }
        if name == key {
            return Ok(found);
        }
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_between_comments_and_over_lines() {
        let text = "# about\n\n  A='1' # one\nB='x\ny'\nC= 'no'\n";
        for (key, wanted) in [("A", "1"), ("B", "x\ny"), ("C", ""), ("D", "")] {
            assert_eq!(value(text, key).as_deref(), Ok(wanted), "{key}");
        }
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, why) in
            [("A", "missing '='"), ("A=1", "single quotes"), ("A ='1'", "whitespace before"), ("A='1", "unclosed")]
        {
            assert!(value(text, "Z").unwrap_err().contains(why), "{text}");
        }
    }
}
