//! Links that lead back through the proxy: `rewriteURL` of `k8s.io/apimachinery/pkg/util/proxy/transport.go`.

/// Where a proxied answer stands.
#[derive(Clone, Debug)]
pub struct Place {
    /// The path of the proxy, up to and with `/proxy`.
    pub prefix: String,
    /// Host and port of the server behind it.
    pub backend: String,
    /// The host that the client asked.
    pub host: String,
}

impl Place {
    /// A link as the client must follow it. Links to elsewhere and relative ones stay as they are.
    #[must_use]
    pub fn rewrite(&self, link: &str) -> String {
        let (scheme, host, rest) = parts(link);
        let elsewhere = !host.is_empty() && host != self.backend && host != self.host;
        if elsewhere || !rest.starts_with('/') || (host.is_empty() && !scheme.is_empty()) {
            return link.to_owned();
        }
        let origin = if !host.is_empty() && host == self.host {
            link[..link.len() - rest.len()].to_owned()
        } else {
            String::new()
        };
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        let inside = path.strip_prefix(&self.prefix).is_some();
        if inside { format!("{origin}{rest}") } else { format!("{origin}{}{rest}", self.prefix) }
    }
}

/// Scheme, host and what follows.
fn parts(link: &str) -> (&str, &str, &str) {
    let scheme = link.split_once(':').filter(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    });
    let (scheme, rest) = scheme.unwrap_or(("", link));
    match rest.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            (scheme, &rest[..end], &rest[end..])
        }
        None => (scheme, "", rest),
    }
}

/// The path behind the proxy: with a slash in front, without empty and dotted steps, ending in a slash when the request
/// did. Empty when there is none.
#[must_use]
pub fn clean(rest: &str, slash: bool) -> String {
    let mut steps: Vec<&str> = Vec::new();
    for step in rest.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                steps.pop();
            }
            step => steps.push(step),
        }
    }
    match (steps.is_empty(), slash) {
        (true, false) if rest.is_empty() => String::new(),
        (true, _) => "/".to_owned(),
        (false, slash) => format!("/{}{}", steps.join("/"), if slash { "/" } else { "" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_the_same_server_lead_through_the_proxy() {
        let place = Place {
            prefix: "/api/v1/namespaces/a/pods/b/proxy".to_owned(),
            backend: "10.0.0.1:80".to_owned(),
            host: "localhost:8001".to_owned(),
        };
        let p = "/api/v1/namespaces/a/pods/b/proxy";
        for (link, wants) in [
            ("/x?y=1", format!("{p}/x?y=1")),
            ("/", format!("{p}/")),
            ("http://10.0.0.1:80/x/", format!("{p}/x/")),
            ("//10.0.0.1:80/x", format!("{p}/x")),
            ("http://localhost:8001/x", format!("http://localhost:8001{p}/x")),
            ("x/y", "x/y".to_owned()),
            ("#top", "#top".to_owned()),
            ("http://example.com/x", "http://example.com/x".to_owned()),
            ("mailto:a@b", "mailto:a@b".to_owned()),
            (&format!("{p}/x"), format!("{p}/x")),
        ] {
            assert_eq!(place.rewrite(link), wants, "{link}");
        }
    }

    #[test]
    fn paths_behind_the_proxy_are_cleaned() {
        for (rest, slash, wants) in [
            ("", false, ""),
            ("", true, "/"),
            ("a/b", false, "/a/b"),
            ("a//b/", true, "/a/b/"),
            ("../../a", false, "/a"),
            ("a%2Fb/./c", false, "/a%2Fb/c"),
            ("..", false, "/"),
        ] {
            assert_eq!(clean(rest, slash), wants, "{rest}");
        }
    }
}
