//! Probing by opening a TCP connection.

use super::Outcome;
use super::port::join;
use std::time::Duration;
use tokio::net::TcpStream;

/// Whether somebody accepts a connection. Addresses are the pod's or names that the node resolves.
pub async fn probe(host: &str, port: u16, timeout: Duration) -> Outcome {
    let address = join(host, port);
    match tokio::time::timeout(timeout, connect(&address)).await {
        Ok(Ok(_)) => Outcome::Success,
        Ok(Err(text)) => Outcome::Failure(text),
        Err(_) => Outcome::Failure(format!("dial tcp {address}: i/o timeout")),
    }
}

/// A connection that vanishes at once when it is closed: a probe each second must not leave a minute of TIME_WAIT each.
///
/// # Errors
/// In the words that users know from upstream.
pub async fn connect(address: &str) -> Result<TcpStream, String> {
    let said = |why: std::io::Error| {
        let text = match why.kind() {
            std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
            std::io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
            _ => why.to_string(),
        };
        format!("dial tcp {address}: {text}")
    };
    let stream = TcpStream::connect(address).await.map_err(said)?;
    stream.set_zero_linger().map_err(said)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_listener_is_well_and_nobody_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let wait = Duration::from_secs(5);
        assert_eq!(probe("127.0.0.1", port, wait).await, Outcome::Success);
        drop(listener);
        let wanted = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
        assert_eq!(probe("127.0.0.1", port, wait).await, Outcome::Failure(wanted));
    }
}
