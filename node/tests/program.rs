//! The program as its users start it. A package with a test like this one also has its program built for
//! `cargo test --workspace`, and the tests of the control plane (`tests/native`) start that program.

use std::process::Command;

#[test]
fn the_help_names_the_flags_that_every_start_needs() {
    let asked = Command::new(env!("CARGO_BIN_EXE_node")).arg("--help").output().expect("the program runs");
    let help = String::from_utf8_lossy(&asked.stdout);
    assert!(asked.status.success(), "{help}");
    for flag in ["--data", "--bind", "--kubeconfig-out"] {
        assert!(help.contains(flag), "{flag} is not in: {help}");
    }
}
