//! What a request asks for, read from its method, path and query alone. The rules are those of
//! `k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`. It must not know which resources exist.

use api::Status;
use std::collections::BTreeMap;

/// What a request asks for, as authorization and the handlers see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Whether the path names a resource, below `/api` or `/apis`.
    pub is_resource: bool,
    /// The path, without the query.
    pub path: String,
    /// The verb of authorization: get, list, watch, create, update, patch, delete, deletecollection, or the HTTP
    /// method in lower case for other paths.
    pub verb: String,
    /// API group; empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Plural resource.
    pub resource: String,
    /// Subresource; empty when none.
    pub subresource: String,
    /// Namespace; empty for cluster-scoped resources and for lists over all namespaces.
    pub namespace: String,
    /// Object; empty for collections.
    pub name: String,
    /// What follows the subresource: the path of a proxy request, with its slashes.
    pub rest: String,
    /// What a list or watch is narrowed to: fields that must have exactly these values.
    pub fields: Vec<(String, String)>,
}

impl RequestInfo {
    /// Reads method, path and query.
    #[must_use]
    pub fn parse(method: &http::Method, path: &str, query: &Query) -> RequestInfo {
        let mut info =
            RequestInfo { path: path.to_owned(), verb: method.as_str().to_lowercase(), ..RequestInfo::default() };
        let decoded: Vec<String> = path.trim_matches('/').split('/').map(unescape).collect();
        let mut parts: &[String] = &decoded;
        match parts.first().map(String::as_str) {
            Some("api") if parts.len() >= 3 => {
                info.version.clone_from(&parts[1]);
                parts = &parts[2..];
            }
            Some("apis") if parts.len() >= 4 => {
                info.group.clone_from(&parts[1]);
                info.version.clone_from(&parts[2]);
                parts = &parts[3..];
            }
            _ => return info,
        }
        info.is_resource = true;
        info.verb = match method.as_str() {
            "POST" => "create",
            "GET" | "HEAD" => "get",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" => "delete",
            _ => "",
        }
        .to_owned();
        let watching = parts.first().is_some_and(|p| p == "watch") && parts.len() > 1;
        if watching {
            "watch".clone_into(&mut info.verb);
            parts = &parts[1..];
        }
        info.read_object(parts, path);
        info.refine_verb(query, watching);
        if matches!(info.verb.as_str(), "list" | "watch" | "deletecollection") {
            info.fields = query.get("fieldSelector").map(exact_fields).unwrap_or_default();
        }
        info
    }

    fn read_object(&mut self, parts: &[String], path: &str) {
        let mut parts = parts;
        if parts.first().is_some_and(|p| p == "namespaces") && parts.len() > 1 {
            self.namespace.clone_from(&parts[1]);
            // A namespace's own subresources are not resources inside it.
            let own = parts.get(2).is_some_and(|p| p == "status" || p == "finalize");
            if parts.len() > 2 && !own {
                parts = &parts[2..];
            }
        }
        self.resource = parts.first().cloned().unwrap_or_default();
        self.name = parts.get(1).cloned().unwrap_or_default();
        self.subresource = parts.get(2).cloned().unwrap_or_default();
        if parts.len() > 3 {
            // The rest keeps its escapes and slashes: it belongs to the proxied server.
            let skipped =
                path.trim_start_matches('/').split('/').count() - parts.len() + 3 - usize::from(path.ends_with('/'));
            self.rest =
                path.trim_start_matches('/').splitn(skipped + 1, '/').nth(skipped).unwrap_or_default().to_owned();
        }
        // What follows is more than any resource has: no such path, unless it is proxied.
        if !self.rest.is_empty() && self.subresource != "proxy" {
            self.subresource = format!("{}/{}", self.subresource, self.rest);
        }
    }

    fn refine_verb(&mut self, query: &Query, watching: bool) {
        if !self.name.is_empty() || watching {
            return;
        }
        match self.verb.as_str() {
            "get" => {
                let verb = if query.flag("watch") { "watch" } else { "list" };
                verb.clone_into(&mut self.verb);
                if let Some(name) = query.get("fieldSelector").and_then(selected_name) {
                    self.name = name;
                }
            }
            "delete" => "deletecollection".clone_into(&mut self.verb),
            _ => {}
        }
    }
}

/// The fields that a selector narrows to one value each.
#[must_use]
pub fn exact_fields(selector: &str) -> Vec<(String, String)> {
    let Ok(selector) = api::selector::FieldSelector::parse(selector) else { return Vec::new() };
    selector.terms().iter().filter(|term| term.equal).map(|term| (term.field.clone(), term.value.clone())).collect()
}

/// The one name that a list is narrowed to, so that a rule for a single object authorizes it too.
fn selected_name(selector: &str) -> Option<String> {
    let selector = api::selector::FieldSelector::parse(selector).ok()?;
    let name = selector.exact("metadata.name")?;
    api::names::path_segment(name).is_empty().then(|| name.to_owned())
}

/// Undoes `%xx`. Bytes that are no UTF-8 become the replacement character, which no name contains.
#[must_use]
pub fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
        match (bytes[i], bytes.get(i + 1).and_then(|c| hex(*c)), bytes.get(i + 2).and_then(|c| hex(*c))) {
            (b'%', Some(high), Some(low)) => {
                plain.push(high << 4 | low);
                i += 3;
            }
            (c, ..) => {
                plain.push(c);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// Writes text so that it can stand in a query: everything but letters, digits and `-._~` as `%xx`.
#[must_use]
pub fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

/// The query of a URL; of repeated keys all values, in order.
#[derive(Clone, Debug, Default)]
pub struct Query(BTreeMap<String, Vec<String>>);

impl Query {
    /// Reads `a=1&b=x+y`.
    #[must_use]
    pub fn parse(text: &str) -> Query {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in text.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            values.entry(unescape(&key.replace('+', " "))).or_default().push(unescape(&value.replace('+', " ")));
        }
        Query(values)
    }

    /// The first value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.first().map(String::as_str)
    }

    /// The first value of a key, if it is not empty.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).filter(|v| !v.is_empty())
    }

    /// All values of a key.
    #[must_use]
    pub fn all(&self, key: &str) -> &[String] {
        self.0.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// A truth value, read as upstream's query conversion does: absent, empty aside, `false` and `0` are false.
    #[must_use]
    pub fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(|v| !matches!(v.to_lowercase().as_str(), "false" | "0"))
    }

    /// A whole number.
    ///
    /// # Errors
    /// 400 when the value is none.
    pub fn number(&self, key: &str) -> Result<Option<i64>, Status> {
        let read = |text: &str| {
            text.parse().map_err(|_| {
                let shown = api::Tree::text(text).to_json_text();
                Status::bad_request(format!("strconv.ParseInt: parsing {shown}: invalid syntax"))
            })
        };
        self.text(key).map(read).transpose()
    }
}

#[cfg(test)]
mod tests;
