//! Which package archive to ask: the one this machine's own package manager uses, or `SKERRY_MIRROR`.
//! Pure: files come in as text.

/// Overrides the machine's own archive.
pub const VARIABLE: &str = "SKERRY_MIRROR";

/// Archives keep the distribution in a folder of this name; other vendors' archives in the same lists do not.
const DISTRIBUTION: &str = "debian";

/// The base address of the archive, without a slash at its end: the first in `lists` (in the order given) that looks
/// like the distribution's own. `lists` holds the texts of `sources.list` and `sources.list.d/*`.
pub fn choose(variable: Option<&str>, lists: &[String]) -> Option<String> {
    if let Some(chosen) = variable.filter(|value| !value.is_empty()) {
        return Some(chosen.trim_end_matches('/').to_owned());
    }
    let addresses = lists.iter().flat_map(|text| addresses(text));
    addresses.into_iter().find(|address| address.rsplit('/').next() == Some(DISTRIBUTION))
}

/// All addresses of binary archives in one file, in either format of apt-sources(5).
fn addresses(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for stanza in text.split("\n\n") {
        let types = field(stanza, "Types");
        let disabled = field(stanza, "Enabled").is_some_and(|value| value.trim() == "no");
        if types.is_some_and(|types| types.split_whitespace().any(|kind| kind == "deb")) && !disabled {
            found.extend(field(stanza, "URIs").unwrap_or_default().split_whitespace().map(str::to_owned));
        }
        found.extend(stanza.lines().filter_map(one_line));
    }
    found.retain(|address| ["http://", "https://", "file://"].iter().any(|scheme| address.starts_with(scheme)));
    found.iter().map(|address| address.trim_end_matches('/').to_owned()).collect()
}

/// The address of a line `deb [options] ADDRESS SUITE COMPONENT...`.
fn one_line(line: &str) -> Option<String> {
    let rest = line.trim().strip_prefix("deb ")?.trim_start();
    let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
    rest.split_whitespace().next().map(str::to_owned)
}

/// The value of a field on one line; comments between fields are passed over.
fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lists: &[&str], wanted: Option<&str>) {
        let lists: Vec<String> = lists.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(choose(None, &lists).as_deref(), wanted);
    }

    #[test]
    fn the_first_archive_of_the_distribution_is_chosen() {
        let stanzas = "Types: deb\n# a comment\nURIs: http://mirror.test/debian\nSuites: stable\n\n\
                       Types: deb\nURIs: http://mirror.test/debian-security/\nSuites: stable-security\n";
        check(&["deb https://vendor.test/apt stable main\n", stanzas], Some("http://mirror.test/debian"));
        check(&["deb [arch=amd64 signed-by=/x] http://a.test/debian/ stable main"], Some("http://a.test/debian"));
    }

    #[test]
    fn sources_other_vendors_and_disabled_stanzas_are_passed_over() {
        check(&["Types: deb-src\nURIs: http://a.test/debian\n", "deb-src http://a.test/debian x main"], None);
        check(&["Types: deb\nEnabled: no\nURIs: http://a.test/debian\n", "# deb http://a.test/debian x main"], None);
        check(&["deb https://vendor.test/apt stable main"], None);
    }

    #[test]
    fn the_variable_wins() {
        let lists = ["deb http://a.test/debian x main".to_owned()];
        assert_eq!(choose(Some("http://b.test/x/"), &lists).as_deref(), Some("http://b.test/x"));
    }
}
