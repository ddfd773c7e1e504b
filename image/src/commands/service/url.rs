//! The address of a port on the host, by what its Service says of the port. Pure.

use serde_json::Value;

/// Numbers by which a port that says nothing of itself is known not to speak HTTP: ssh, smtp, dns, ldap, mqtt, mssql,
/// nfs, etcd, mysql, postgresql, amqp, redis, cassandra, kafka, memcached, mongodb.
const NOT_HTTP: &[u64] = &[22, 25, 53, 389, 1433, 1883, 2049, 2379, 3306, 5432, 5672, 6379, 9042, 9092, 11211, 27017];
/// Numbers by which such a port is known to speak HTTPS.
const HTTPS: &[u64] = &[443, 6443, 8443, 9443];

/// The address of a Service's port that is found at a port of the host.
pub fn of(port: &Value, host: u16) -> String {
    format!("{}://127.0.0.1:{host}", scheme(port))
}

/// What a port speaks: by its `appProtocol`, else by its name as the mesh convention has it (`https-web`), else by its
/// number; most Services that are looked at from a host speak HTTP.
fn scheme(port: &Value) -> String {
    if port["protocol"].as_str().is_some_and(|protocol| protocol == "UDP") {
        return "udp".to_owned();
    }
    let said = port["appProtocol"].as_str().map(|text| text.rsplit('/').next().unwrap_or(text).to_ascii_lowercase());
    let name = port["name"].as_str().unwrap_or_default().to_ascii_lowercase();
    let first = name.split('-').next().unwrap_or_default();
    match said.as_deref() {
        Some("https") => return "https".to_owned(),
        Some("http" | "h2c" | "http2" | "grpc") => return "http".to_owned(),
        Some("ws" | "wss") => return said.unwrap_or_default(),
        // Whatever it is, it is no page.
        Some(_) => return "tcp".to_owned(),
        None => {}
    }
    let number = |field: &str| port[field].as_u64().unwrap_or(0);
    let known = [number("port"), number("targetPort")];
    let scheme = match first {
        "https" | "tls" => "https",
        "http" | "http2" | "web" | "grpc" => "http",
        "tcp" | "redis" | "mysql" | "postgres" | "postgresql" | "mongo" | "amqp" => "tcp",
        _ if known.iter().any(|number| HTTPS.contains(number)) => "https",
        _ if known.iter().any(|number| NOT_HTTP.contains(number)) => "tcp",
        _ => "http",
    };
    scheme.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_port_is_addressed_by_what_it_says_of_itself() {
        for (port, scheme) in [
            (json!({"port": 80}), "http"),
            (json!({"port": 443}), "https"),
            (json!({"port": 80, "name": "https-web"}), "https"),
            (json!({"port": 443, "appProtocol": "http"}), "http"),
            (json!({"port": 80, "appProtocol": "kubernetes.io/wss"}), "wss"),
            (json!({"port": 80, "appProtocol": "mysql"}), "tcp"),
            (json!({"port": 5432}), "tcp"),
            (json!({"port": 53, "protocol": "UDP"}), "udp"),
        ] {
            assert_eq!(of(&port, 30080), format!("{scheme}://127.0.0.1:30080"), "{port}");
        }
    }
}
