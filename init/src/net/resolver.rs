//! The text of `/etc/resolv.conf` (a link to `/run/resolv.conf`) and its replacement as a whole.

use super::Outer;
use std::io;
use std::path::Path;

/// Where the file is.
pub const PATH: &str = "/run/resolv.conf";
/// How many name servers resolvers look at.
const SERVERS_MAX: usize = 3;

/// The file's text.
pub fn text(outer: Option<&Outer>) -> String {
    let Some(outer) = outer else { return "# no outer network\n".to_owned() };
    let mut text = String::new();
    for server in outer.dns.iter().take(SERVERS_MAX) {
        text.push_str(&format!("nameserver {server}\n"));
    }
    if let Some(domain) = &outer.domain {
        text.push_str(&format!("search {domain}\n"));
    }
    text
}

/// Replaces the file, so that no reader sees half of it.
pub fn write(path: &Path, outer: Option<&Outer>) -> io::Result<()> {
    let new = path.with_extension("conf.new");
    std::fs::write(&new, text(outer))?;
    std::fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_domain_make_the_file() {
        let outer = Outer { domain: Some("home".to_owned()), ..crate::net::fallback() };
        assert_eq!(text(Some(&outer)), "nameserver 10.0.2.3\nsearch home\n");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolv.conf");
        write(&path, Some(&outer)).unwrap();
        write(&path, None).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "# no outer network\n");
    }
}
