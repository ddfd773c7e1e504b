//! The port that a probe or hook means. Pure.

use k8s_openapi::api::core::v1::Container;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// A number, or the name of one of the container's ports.
///
/// # Errors
/// When it is neither, in upstream's words.
pub fn resolve(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => i64::from(*number),
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|p| p.name.as_deref() == Some(name));
            match named {
                Some(found) => i64::from(found.container_port),
                None => name.parse().map_err(|_| format!("port {name} not found"))?,
            }
        }
    };
    u16::try_from(number).ok().filter(|n| *n > 0).ok_or_else(|| format!("invalid port number: {number}"))
}

/// Address and port, as one writes them together.
#[must_use]
pub fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_port_has_a_number_or_a_name() {
        let container: Container =
            serde_json::from_value(json!({"name": "c", "ports": [{"name": "web", "containerPort": 80}]})).unwrap();
        let name = |text: &str| resolve(&IntOrString::String(text.to_owned()), &container);
        assert_eq!(resolve(&IntOrString::Int(81), &container), Ok(81));
        assert_eq!((name("web"), name("82")), (Ok(80), Ok(82)));
        assert_eq!(name("db"), Err("port db not found".to_owned()));
        assert_eq!(resolve(&IntOrString::Int(70000), &container), Err("invalid port number: 70000".to_owned()));
        assert_eq!(join("fd00::1", 80), "[fd00::1]:80");
    }
}
