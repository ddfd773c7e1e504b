//! Content negotiation: which encoding and which form of an object the client takes, and what its body is.
//! Rules of `k8s.io/apiserver/pkg/endpoints/handlers/negotiation`.

use api::Status;

/// An encoding of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`
    Json,
    /// `application/yaml`
    Yaml,
    /// `application/vnd.kubernetes.protobuf`
    Protobuf,
}

/// Media types of objects, as refusals list them.
pub const OBJECT_TYPES: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// Media types of watches, as refusals list them.
pub const STREAM_TYPES: &[&str] =
    &["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];

impl Encoding {
    /// The media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Encoding::Json => "application/json",
            Encoding::Yaml => "application/yaml",
            Encoding::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }

    fn of(range: &str) -> Option<Encoding> {
        match range {
            "application/*" | "*/*" => Some(Encoding::Json),
            media_type => Encoding::of_type(media_type),
        }
    }

    fn of_type(media_type: &str) -> Option<Encoding> {
        match media_type {
            "application/json" => Some(Encoding::Json),
            "application/yaml" => Some(Encoding::Yaml),
            "application/vnd.kubernetes.protobuf" => Some(Encoding::Protobuf),
            _ => None,
        }
    }

    /// The encoding of a body by its `Content-Type`; JSON when there is none.
    ///
    /// # Errors
    /// 415 naming what can be read.
    pub fn of_body(content_type: Option<&str>) -> Result<Encoding, Status> {
        let Some(text) = content_type.filter(|t| !t.is_empty()) else { return Ok(Encoding::Json) };
        let media_type = text.split(';').next().unwrap_or_default().trim();
        Encoding::of_type(media_type).ok_or_else(|| {
            let accepted = OBJECT_TYPES.join(", ");
            let why = "the body of the request was in an unknown format - accepted media types include:";
            Status::new(415, "UnsupportedMediaType", format!("{why} {accepted}"))
        })
    }

    /// The encoding of a failure: the first that the client takes plainly, JSON when there is none.
    #[must_use]
    pub fn of_failure(accept: Option<&str>) -> Encoding {
        let plain = |range: &Range| if range.parameter("as").is_some() { None } else { Encoding::of(range.media_type) };
        ranges(accept).iter().find_map(plain).unwrap_or(Encoding::Json)
    }
}

/// A form in which objects are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As they are.
    Object,
    /// `meta.k8s.io/v1` Table.
    Table,
    /// `meta.k8s.io/v1` PartialObjectMetadata or its list.
    Partial,
}

/// What the client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The encoding.
    pub encoding: Encoding,
    /// The form.
    pub form: Form,
}

/// One entry of an `Accept` header.
#[derive(Debug, PartialEq)]
pub struct Range<'a> {
    /// `application/json`
    pub media_type: &'a str,
    /// Parameters such as `as`, `g`, `v`.
    pub parameters: Vec<(&'a str, &'a str)>,
    quality: f32,
}

impl Range<'_> {
    /// A parameter's value.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }
}

/// The entries of an `Accept` header, best first. An absent header accepts everything.
#[must_use]
pub fn ranges(accept: Option<&str>) -> Vec<Range<'_>> {
    let text = accept.filter(|a| !a.trim().is_empty()).unwrap_or("*/*");
    let mut ranges: Vec<Range> = text
        .split(',')
        .filter_map(|entry| {
            let mut parts = entry.split(';').map(str::trim);
            let media_type = parts.next().filter(|m| !m.is_empty())?;
            let parameters: Vec<_> =
                parts.filter_map(|p| p.split_once('=')).map(|(k, v)| (k.trim(), v.trim())).collect();
            let quality = parameters.iter().find(|(k, _)| *k == "q").and_then(|(_, v)| v.parse().ok()).unwrap_or(1.0);
            Some(Range { media_type, parameters, quality })
        })
        .collect();
    // Of equal quality, the more special comes first.
    let vague = |range: &Range| (range.media_type.starts_with('*'), range.media_type.ends_with('*'));
    ranges.sort_by(|a, b| b.quality.total_cmp(&a.quality).then_with(|| vague(a).cmp(&vague(b))));
    ranges
}

/// The form that one range asks for; `None` when it asks for one that this endpoint does not have. A Table has no
/// protobuf form.
fn form(range: &Range, encoding: Encoding, list: bool, convertible: bool) -> Option<Form> {
    let Some(wanted) = range.parameter("as") else { return Some(Form::Object) };
    if range.parameter("g") != Some("meta.k8s.io") || range.parameter("v") != Some("v1") || !convertible {
        return None;
    }
    match (wanted, list) {
        ("Table", _) if encoding != Encoding::Protobuf => Some(Form::Table),
        ("PartialObjectMetadata", false) | ("PartialObjectMetadataList", true) => Some(Form::Partial),
        _ => None,
    }
}

/// Chooses what to answer. `list` says that the answer is a list (a watch is one for `PartialObjectMetadata` only),
/// `convertible` that tables and metadata can be made of it.
///
/// # Errors
/// 406 naming what could be served. Upstream refuses at two places, in different words: its router does not know the
/// media type at all, or its handler does not have the form.
pub fn accept(header: Option<&str>, list: bool, convertible: bool) -> Result<Accepted, Status> {
    let ranges = ranges(header);
    if !ranges.iter().any(|range| range.media_type == "*/*" || OBJECT_TYPES.contains(&range.media_type)) {
        let streams = if list { STREAM_TYPES } else { &[] };
        return Err(Status::not_acceptable(&[OBJECT_TYPES, streams].concat()));
    }
    let chosen = ranges.iter().find_map(|range| {
        let encoding = Encoding::of(range.media_type)?;
        Some(Accepted { encoding, form: form(range, encoding, list, convertible)? })
    });
    chosen.ok_or_else(|| no_such_form(OBJECT_TYPES))
}

/// 406 of a handler.
#[must_use]
pub fn no_such_form(types: &[&str]) -> Status {
    let accepted = types.join(", ");
    Status::new(406, "NotAcceptable", format!("only the following media types are accepted: {accepted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, list: bool, encoding: Encoding, form: Form) {
        assert_eq!(accept(Some(header), list, true), Ok(Accepted { encoding, form }), "{header}");
    }

    #[test]
    fn the_first_form_that_can_be_served_is_chosen() {
        check("application/json", true, Encoding::Json, Form::Object);
        check("application/yaml", false, Encoding::Yaml, Form::Object);
        check("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", true, Encoding::Json, Form::Table);
        check("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", true, Encoding::Json, Form::Object);
        check("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", false, Encoding::Json, Form::Partial);
        check("text/html,*/*;q=0.1", false, Encoding::Json, Form::Object);
        check("application/vnd.kubernetes.protobuf", false, Encoding::Protobuf, Form::Object);
        check("application/vnd.kubernetes.protobuf, */*", false, Encoding::Protobuf, Form::Object);
        check("*/*, application/vnd.kubernetes.protobuf", false, Encoding::Protobuf, Form::Object);
        let table = "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/yaml";
        check(table, true, Encoding::Yaml, Form::Object);
    }

    #[test]
    fn what_cannot_be_served_is_refused() {
        assert_eq!(accept(Some("text/html"), false, true).unwrap_err().code, 406);
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        let refused = accept(Some(table), false, false).unwrap_err();
        assert!(refused.message.starts_with("only the following media types are accepted: application/json, "));
    }

    #[test]
    fn the_type_of_a_body_is_read_or_refused() {
        assert_eq!(Encoding::of_body(None), Ok(Encoding::Json));
        assert_eq!(Encoding::of_body(Some("application/yaml; charset=utf-8")), Ok(Encoding::Yaml));
        assert_eq!(Encoding::of_body(Some("text/plain")).unwrap_err().code, 415);
    }
}
