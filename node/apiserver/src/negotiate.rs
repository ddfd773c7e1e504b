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
pub const OBJECT_TYPES: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];

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

    fn of(media_type: &str) -> Option<Encoding> {
        match media_type {
            "application/json" | "application/*" | "*/*" => Some(Encoding::Json),
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
        Encoding::of(media_type).ok_or_else(Status::unsupported_media_type)
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
    ranges.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    ranges
}

/// The form that one range asks for; `None` when it asks for one that this endpoint does not have.
fn form(range: &Range, list: bool, convertible: bool) -> Option<Form> {
    let Some(wanted) = range.parameter("as") else { return Some(Form::Object) };
    if range.parameter("g") != Some("meta.k8s.io") || range.parameter("v") != Some("v1") || !convertible {
        return None;
    }
    match (wanted, list) {
        ("Table", _) => Some(Form::Table),
        ("PartialObjectMetadata", false) | ("PartialObjectMetadataList", true) => Some(Form::Partial),
        _ => None,
    }
}

/// Chooses what to answer. `list` says that the answer is a list (a watch is one for `PartialObjectMetadata` only),
/// `convertible` that tables and metadata can be made of it.
///
/// # Errors
/// 406 naming what could be served.
pub fn accept(header: Option<&str>, list: bool, convertible: bool) -> Result<Accepted, Status> {
    let mut chosen: Option<Accepted> = None;
    for range in ranges(header) {
        let (Some(encoding), Some(form)) = (Encoding::of(range.media_type), form(&range, list, convertible)) else {
            continue;
        };
        match chosen {
            None => chosen = Some(Accepted { encoding, form }),
            // Objects lie ready as JSON: whoever takes both forms gets that.
            Some(first) if first.encoding == Encoding::Protobuf && encoding == Encoding::Json && first.form == form => {
                return Ok(Accepted { encoding, form });
            }
            Some(_) => {}
        }
    }
    chosen.ok_or_else(|| Status::not_acceptable(OBJECT_TYPES))
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
        check("application/vnd.kubernetes.protobuf, */*", false, Encoding::Json, Form::Object);
    }

    #[test]
    fn what_cannot_be_served_is_refused() {
        assert_eq!(accept(Some("text/html"), false, true).unwrap_err().code, 406);
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        assert_eq!(accept(Some(table), false, false).unwrap_err().code, 406);
    }

    #[test]
    fn the_type_of_a_body_is_read_or_refused() {
        assert_eq!(Encoding::of_body(None), Ok(Encoding::Json));
        assert_eq!(Encoding::of_body(Some("application/yaml; charset=utf-8")), Ok(Encoding::Yaml));
        assert_eq!(Encoding::of_body(Some("text/plain")).unwrap_err().code, 415);
    }
}
