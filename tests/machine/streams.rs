//! What kubectl streams: logs, a terminal, files, ports.

use crate::harness::Machine;
use crate::runner::{Step, steps};
use crate::shop;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// In any order.
pub const STEPS: &[Step] = steps![
    logs_are_followed_as_they_are_written,
    exec_gives_a_terminal_of_the_right_size_and_the_exit_code,
    a_file_is_copied_in_and_out_unchanged,
    a_port_is_forwarded_to_a_service,
];

/// One line, prompt or answer, emulated.
const SOON: Duration = Duration::from_secs(90);

fn logs_are_followed_as_they_are_written(machine: &Machine) {
    let door = shop::open(machine);
    let logs = machine.kubectl_stream(&["logs", "-n", "shop", "-l", "app=front", "-f", "--tail=1", "--prefix"]);
    // nginx has said something before, if only of a probe: from here on the stream is open.
    logs.line_with("HTTP/1.1", SOON);
    shop::ask(door, "/goods/plum?seen=1");
    assert!(logs.line_with("GET /goods/plum?seen=1", SOON).contains(" 200 "));
}

fn exec_gives_a_terminal_of_the_right_size_and_the_exit_code(machine: &Machine) {
    shop::open(machine);
    let mut terminal = machine.kubectl_terminal(&["exec", "-it", "-n", "shop", "store-0", "--", "sh"]);
    terminal.shows("$", SOON);
    terminal.types("stty size");
    terminal.shows("41 107", SOON);
    terminal.types("echo fine > /dev/tty; redis-cli ping");
    terminal.shows("fine\r\n", SOON);
    terminal.shows("PONG", SOON);
    terminal.types("exit 7");
    assert_eq!(terminal.ends(SOON), Some(7));
}

fn a_file_is_copied_in_and_out_unchanged(machine: &Machine) {
    shop::open(machine);
    let folder = tempfile::tempdir().expect("a folder");
    let (out, back) = (folder.path().join("out"), folder.path().join("back"));
    // Every byte, and more than one frame of any of the protocols below.
    let content: Vec<u8> = (0..300_000u32).map(|n| (n ^ n >> 8) as u8).collect();
    std::fs::write(&out, &content).expect("a written file");
    let pod = shop::fronts(machine)[0].trim_start_matches("pod/").to_owned();
    let inside = format!("shop/{pod}:/tmp/copied");
    machine.kubectl(&["cp", out.to_str().expect("a path of letters"), &inside]);
    machine.kubectl(&["cp", &inside, back.to_str().expect("a path of letters")]);
    assert!(std::fs::read(back).expect("the copy") == content, "the copy differs");
}

fn a_port_is_forwarded_to_a_service(machine: &Machine) {
    shop::open(machine);
    let forward = machine.kubectl_stream(&["port-forward", "-n", "shop", "service/store", ":redis"]);
    let line = forward.line_with("Forwarding from 127.0.0.1:", SOON);
    let port = line.split([':', ' ']).find_map(|word| word.parse::<u16>().ok()).expect("a port in the line");
    let mut store = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the forwarded port");
    store.set_read_timeout(Some(SOON)).expect("a limit");
    store.write_all(b"AUTH low-tide\r\nGET goods:pear\r\nQUIT\r\n").expect("it takes commands");
    let mut answer = String::new();
    store.read_to_string(&mut answer).expect("it answers and closes");
    assert_eq!(answer, "+OK\r\n$1\r\n7\r\n+OK\r\n");
}
