//! Handshakes in memory between the configurations of one cluster.

use super::*;
use crate::authority::{Authority, DAY, Purpose};
use crate::template::San;
use rustls::{ClientConnection, ServerConnection};
use std::time::Duration;

fn now() -> SystemTime {
    // Handshakes read the system's clock, so certificates are made for the real present.
    SystemTime::now()
}

struct Cluster {
    authority: Authority,
    server: Arc<Slot>,
}

fn slot(authority: &Authority, name: &str, groups: &[&str], purpose: Purpose) -> Arc<Slot> {
    let names = vec![San::Dns("localhost".to_owned())];
    Arc::new(Slot::new(&authority.issue(name, groups, names, purpose, now()).unwrap()).unwrap())
}

fn cluster() -> Cluster {
    let authority = Authority::generate("kubernetes", now()).unwrap();
    Cluster { server: slot(&authority, "server", &[], Purpose::Server), authority }
}

/// Runs the handshake to its end and returns the server's side.
fn handshake(server: ServerConfig, client: ClientConfig) -> Result<(ServerConnection, ClientConnection), Error> {
    let mut client = ClientConnection::new(Arc::new(client), ServerName::try_from("localhost").unwrap())?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).unwrap();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok((server, client))
}

fn roots(cluster: &Cluster) -> Vec<CertificateDer<'static>> {
    vec![cluster.authority.certificate().clone()]
}

fn asking(cluster: &Cluster) -> ServerConfig {
    server(cluster.server.clone(), Some(&[cluster.authority.subject()]), &ALPN_HTTP).unwrap()
}

#[test]
fn a_client_certificate_becomes_user_and_groups() {
    let cluster = cluster();
    let own = slot(&cluster.authority, "jane", &["dev", "ops", "qa"], Purpose::Client);
    let client = client(&roots(&cluster), Some(own), &ALPN_HTTP).unwrap();
    let (server, _) = handshake(asking(&cluster), client).unwrap();
    assert_eq!(server.alpn_protocol(), Some(&b"h2"[..]));
    let trust = ClientTrust::new(&roots(&cluster)).unwrap();
    let identity = trust.identity(server.peer_certificates().unwrap(), now()).unwrap().unwrap();
    assert_eq!(
        (identity.user.as_str(), identity.groups.as_slice()),
        ("jane", &["dev".into(), "ops".into(), "qa".into()][..])
    );
    assert!(identity.credential_id.starts_with("X509SHA256=") && identity.credential_id.len() == 11 + 64);
}

#[test]
fn a_foreign_or_late_certificate_connects_but_names_nobody() {
    let (cluster, other) = (cluster(), cluster());
    let own = slot(&other.authority, "jane", &["system:masters"], Purpose::Client);
    let (server, _) = handshake(asking(&cluster), client(&roots(&cluster), Some(own), &ALPN_HTTP).unwrap()).unwrap();
    let chain = server.peer_certificates().unwrap();
    assert!(ClientTrust::new(&roots(&cluster)).unwrap().identity(chain, now()).is_err());
    let theirs = ClientTrust::new(&roots(&other)).unwrap();
    assert!(theirs.identity(chain, now()).unwrap().is_some());
    assert!(theirs.identity(chain, now() + DAY * 366).is_err());
    assert!(theirs.identity(chain, now() - DAY * 2).is_err());
    let serving = slot(&other.authority, "jane", &[], Purpose::Server).certificate();
    assert!(theirs.identity(&[serving], now()).is_err(), "a server's certificate names no user");
    assert!(theirs.identity(&[], now()).is_err());
}

#[test]
fn no_client_certificate_is_fine() {
    let cluster = cluster();
    let (server, _) = handshake(asking(&cluster), client(&roots(&cluster), None, &ALPN_HTTP1).unwrap()).unwrap();
    assert!(server.peer_certificates().is_none());
    assert_eq!(server.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[test]
fn a_client_refuses_a_server_of_another_authority() {
    let (cluster, other) = (cluster(), cluster());
    assert!(handshake(asking(&cluster), client(&roots(&other), None, &ALPN_HTTP).unwrap()).is_err());
    assert!(handshake(asking(&cluster), client_believing_anyone(None, &ALPN_HTTP).unwrap()).is_ok());
}

#[test]
fn the_next_handshake_sees_the_exchanged_certificate() {
    let cluster = cluster();
    let config = asking(&cluster);
    let shown = |config: ServerConfig| {
        let (_, client) = handshake(config, client(&roots(&cluster), None, &ALPN_HTTP).unwrap()).unwrap();
        client.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let before = shown(config.clone());
    let fresh = cluster.authority.issue("server", &[], vec![San::Dns("localhost".to_owned())], Purpose::Server, now());
    cluster.server.store(&fresh.unwrap()).unwrap();
    let after = shown(config);
    assert_ne!(before, after);
    assert_eq!(after, cluster.server.certificate());
    assert!(cluster.server.renewal() > now() + Duration::from_secs(60));
}
