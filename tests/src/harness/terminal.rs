//! A program in a terminal, as `kubectl exec -it` wants one: typed at and read by the test.

use nix::pty::{Winsize, openpty};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The size of the window: rows and columns that nobody has by default.
pub const ROWS: u16 = 41;
/// See `ROWS`.
pub const COLUMNS: u16 = 107;

/// A terminal with a program in it; the program ends with this value.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    /// Starts a program in a new terminal.
    pub fn start(command: &mut Command) -> Terminal {
        let size = Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).expect("a pseudo terminal");
        let clone = || pair.slave.try_clone().expect("a descriptor more");
        let child = command.stdin(clone()).stdout(clone()).stderr(clone()).spawn().expect("the program starts");
        let keyboard = File::from(pair.master);
        let mut reader = keyboard.try_clone().expect("a descriptor more");
        let (tell, screen) = channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            loop {
                match reader.read(&mut piece) {
                    Ok(count) if count > 0 && tell.send(piece[..count].to_vec()).is_ok() => (),
                    Err(error) if error.kind() == ErrorKind::Interrupted => (),
                    // The other side is closed (EIO on Linux), or nobody looks any more.
                    _ => return,
                }
            }
        });
        Terminal { child, keyboard, screen, seen: String::new() }
    }

    /// Types a line and presses Enter.
    pub fn types(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\r").as_bytes()).expect("the terminal takes what is typed");
    }

    /// Waits until `text` stands on the screen after all that was awaited before.
    pub fn shows(&mut self, text: &str, limit: Duration) {
        let end = Instant::now() + limit;
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            match self.screen.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(piece) => self.seen.push_str(&String::from_utf8_lossy(&piece)),
                Err(why) => panic!("the terminal does not show {text:?} ({why}) but {:?}", self.seen),
            }
        }
    }

    /// Waits until the program ends; its exit code.
    pub fn ends(mut self, limit: Duration) -> Option<i32> {
        super::eventually("the program in the terminal ends", limit, || {
            let status = self.child.try_wait().expect("its state");
            status.map(|status| status.code()).ok_or_else(|| "it runs".to_owned())
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
