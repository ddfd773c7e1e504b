//! A page on this host, for whoever in a machine asks its gateway for it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};

/// A server of one page; it ends with the process.
pub struct Page {
    port: u16,
}

impl Page {
    /// Serves a text on a free port of 127.0.0.1.
    pub fn serve(text: &'static str) -> Page {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("it listens").port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                // Whatever is asked for, and whoever breaks off.
                let _ = stream.read(&mut [0; 4096]);
                let length = text.len();
                let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(format!("{head}{text}").as_bytes());
            }
        });
        Page { port }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }
}
