//! What a browser's request says of where it comes from: the address that it was sent to, the origin of its page, and
//! the two halves of a session. Pure; which sessions there are, `sessions` knows.

use api::Status;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::{self, HeaderMap, HeaderName};

/// The cookie of a session.
pub const COOKIE: &str = "skerry-session";
/// The header in which a page sends its half of the session.
pub const PAGE_HEADER: HeaderName = HeaderName::from_static("x-skerry-page");
/// The same where a header cannot be set: the beginning of a WebSocket's subprotocol.
pub const PAGE_PROTOCOL: &str = "page.dashboard.skerry.";
/// The beginning of a subprotocol that stands for `Accept`; base64url without padding follows, as in bearer tokens.
pub const ACCEPT_PROTOCOL: &str = "accept.dashboard.skerry.";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names under which browsers may reach the server: a name that an attacker's DNS gives our address is none.
#[derive(Clone, Debug)]
pub struct Names(Vec<String>);

impl Names {
    /// This host's own names, and those of the machine.
    pub fn new<T: Into<String>>(machine: impl IntoIterator<Item = T>) -> Names {
        let own = ["127.0.0.1", "localhost", "::1"].map(str::to_owned);
        Names(own.into_iter().chain(machine.into_iter().map(Into::into)).map(|name| name.to_lowercase()).collect())
    }

    fn have(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => host.rsplit_once(':').map_or(host, |(name, _)| name),
        };
        self.0.contains(&name.to_lowercase())
    }
}

/// The address that the browser thinks it talks to, with its port.
fn host<'a>(headers: &'a HeaderMap, uri: &'a http::Uri) -> &'a str {
    let header = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    header.or(uri.authority().map(http::uri::Authority::as_str)).unwrap_or_default()
}

fn refused(why: String) -> Status {
    Status::new(403, "Forbidden", why)
}

/// Refuses what was sent to a name that is not ours.
///
/// # Errors
/// 403 naming the address and ours.
pub fn check_host(headers: &HeaderMap, uri: &http::Uri, names: &Names) -> Result<(), Status> {
    let host = host(headers, uri);
    if names.have(host) {
        return Ok(());
    }
    Err(refused(format!("the dashboard is not served as {host:?} but as {}", names.0.join(", "))))
}

/// Refuses what a page of another origin had sent, and what was sent to a name that is not ours.
///
/// # Errors
/// 403 saying which it was.
pub fn check(headers: &HeaderMap, uri: &http::Uri, names: &Names) -> Result<(), Status> {
    check_host(headers, uri, names)?;
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text(&SEC_FETCH_SITE).filter(|site| *site != "same-origin") {
        return Err(refused(format!("the request comes from another page ({SEC_FETCH_SITE}: {site})")));
    }
    let host = host(headers, uri);
    let own = |origin: &str| origin.split_once("://").is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(host));
    match text(&header::ORIGIN) {
        Some(origin) if !own(origin) => Err(refused(format!("the request comes from a page of {origin:?}"))),
        _ => Ok(()),
    }
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(wire::handshake::names)
}

/// The page's half of a session.
#[must_use]
pub fn page_key(headers: &HeaderMap) -> Option<String> {
    let header = headers.get(PAGE_HEADER).map(|value| value.to_str().unwrap_or_default());
    header.or_else(|| protocols(headers).find_map(|name| name.strip_prefix(PAGE_PROTOCOL))).map(str::to_owned)
}

/// What may be the cookie's half. Several, because another program on the same address may set one of the same name.
#[must_use]
pub fn cookies(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned()).collect()
}

/// The media types that a WebSocket's client takes, where it could set no `Accept`.
#[must_use]
pub fn accept(headers: &HeaderMap) -> Option<String> {
    let encoded = protocols(headers).find_map(|name| name.strip_prefix(ACCEPT_PROTOCOL))?;
    String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
}

/// Takes a session's halves out of what is passed on to others.
pub fn strip(headers: &mut HeaderMap) {
    headers.remove(PAGE_HEADER);
    let kept: Vec<&str> = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .map(str::trim)
        .filter(|pair| !pair.is_empty() && pair.split_once('=').is_none_or(|(name, _)| name != COOKIE))
        .collect();
    let kept = kept.join("; ");
    headers.remove(header::COOKIE);
    if let (false, Ok(value)) = (kept.is_empty(), http::HeaderValue::from_str(&kept)) {
        headers.insert(header::COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
        pairs.iter().map(pair).collect()
    }

    fn judge(pairs: &[(&'static str, &str)]) -> Result<(), String> {
        let uri = http::Uri::from_static("/dashboard/session");
        check(&headers(pairs), &uri, &Names::new(["rock", "10.250.0.1"])).map_err(|status| status.message)
    }

    #[test]
    fn a_page_of_ours_may_call_under_each_of_our_names() {
        for host in ["127.0.0.1:6443", "localhost:9", "LOCALHOST", "[::1]:6443", "rock:6443", "10.250.0.1:6443"] {
            assert_eq!(judge(&[("host", host)]), Ok(()), "{host}");
            assert_eq!(judge(&[("host", host), ("sec-fetch-site", "same-origin")]), Ok(()), "{host}");
            assert_eq!(judge(&[("host", host), ("origin", &format!("http://{host}"))]), Ok(()), "{host}");
        }
    }

    #[test]
    fn a_name_that_is_not_ours_is_refused_wherever_it_leads() {
        for host in ["evil.example", "evil.example:6443", "127.0.0.1.evil.example", "", "127.0.0.2:6443", "[::2]:1"] {
            let why = judge(&[("host", host)]).unwrap_err();
            assert!(why.contains("is not served as"), "{host}: {why}");
        }
    }

    #[test]
    fn a_page_of_another_origin_is_refused_also_on_another_port() {
        let host = ("host", "127.0.0.1:6443");
        for origin in ["http://evil.example", "http://127.0.0.1:3000", "null", "127.0.0.1:6443", ""] {
            assert!(judge(&[host, ("origin", origin)]).is_err(), "{origin}");
        }
        for site in ["cross-site", "same-site", "none"] {
            assert!(judge(&[host, ("sec-fetch-site", site)]).is_err(), "{site}");
        }
    }

    #[test]
    fn a_page_s_key_comes_in_its_header_or_as_a_protocol() {
        assert_eq!(page_key(&headers(&[("x-skerry-page", "k")])).as_deref(), Some("k"));
        let socket = headers(&[("sec-websocket-protocol", "v5.channel.k8s.io, page.dashboard.skerry.k")]);
        assert_eq!(page_key(&socket).as_deref(), Some("k"));
        assert_eq!(page_key(&headers(&[("sec-websocket-protocol", "v5.channel.k8s.io")])), None);
    }

    #[test]
    fn what_a_socket_takes_is_read_from_its_protocols() {
        let name = format!("{ACCEPT_PROTOCOL}{}", BASE64_URL_SAFE_NO_PAD.encode("application/json;as=Table"));
        let socket = headers(&[("sec-websocket-protocol", &format!("binary.k8s.io, {name}"))]);
        assert_eq!(accept(&socket).as_deref(), Some("application/json;as=Table"));
    }

    #[test]
    fn a_session_does_not_go_on_to_what_is_behind_us() {
        let mut all = headers(&[("cookie", "a=1; skerry-session=x; b=2"), ("x-skerry-page", "k")]);
        assert_eq!(cookies(&all), ["x"]);
        strip(&mut all);
        assert_eq!(all, headers(&[("cookie", "a=1; b=2")]));
        let mut only = headers(&[("cookie", "skerry-session=x")]);
        strip(&mut only);
        assert!(only.is_empty());
    }
}
