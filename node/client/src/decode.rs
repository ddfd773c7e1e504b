//! Typed objects out of JSON, as lenient about `null` as Go's decoder, which takes it for an absent value everywhere.
//! The API server writes `null` for a zero time and for an empty list that is never omitted; the generated types demand
//! values there.
//!
//! It must not know kinds.

use serde::de::DeserializeOwned;
use serde_json::{Error, Value};

/// Times that the generated types demand (`Condition`, `EventSeries`).
const DEMANDED_TIMES: &[&str] = &["lastTransitionTime", "lastObservedTime"];
/// Go's zero time; its encoder writes `null` for it.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// Decodes an answer. The second way costs a tree, so that it is taken only when the first does not lead through.
///
/// # Errors
/// What the first attempt found, when both fail.
pub(crate) fn lenient<T: DeserializeOwned>(text: &[u8]) -> Result<T, Error> {
    let first = match serde_json::from_slice(text) {
        Ok(decoded) => return Ok(decoded),
        Err(why) => why,
    };
    let Ok(mut tree) = serde_json::from_slice::<Value>(text) else { return Err(first) };
    without_nulls(&mut tree);
    serde_json::from_value(tree).map_err(|_| first)
}

fn without_nulls(tree: &mut Value) {
    match tree {
        Value::Object(fields) => {
            for name in DEMANDED_TIMES {
                if let Some(time) = fields.get_mut(*name).filter(|time| time.is_null()) {
                    *time = ZERO_TIME.into();
                }
            }
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => (),
    }
}

#[cfg(test)]
mod tests {
    use super::lenient;
    use k8s_openapi::api::core::v1::{Event, Service};
    use k8s_openapi::api::discovery::v1::EndpointSlice;

    #[test]
    fn null_is_an_absent_value() {
        let text = br#"{"metadata": {"name": "a"}, "status": {"conditions": [
            {"type": "T", "status": "True", "reason": "R", "message": "", "lastTransitionTime": null}]}}"#;
        let service: Service = lenient(text).unwrap();
        assert_eq!(service.status.unwrap().conditions.unwrap()[0].type_, "T");
        let event: Event =
            lenient(br#"{"metadata": {}, "involvedObject": {}, "series": {"lastObservedTime": null}}"#).unwrap();
        assert!(event.series.is_some());
        let slice: EndpointSlice = lenient(br#"{"addressType": "IPv4", "metadata": {}, "endpoints": null}"#).unwrap();
        assert!(slice.endpoints.is_none());
    }

    #[test]
    fn what_is_of_another_type_is_refused_with_its_place() {
        let why = lenient::<Service>(br#"{"metadata": {"name": 1}}"#).unwrap_err().to_string();
        assert!(why.contains("invalid type: integer `1`"), "{why}");
        assert!(lenient::<Service>(b"{\"metadata\":").is_err());
    }
}
