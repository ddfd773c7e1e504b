//! The exit codes that scripts rely on, and the error type that carries one.

use serde::Serialize;
use std::fmt;
use std::process::ExitCode;

/// Why `skerry` ended without doing what was asked. The number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// A bug of ours, or of the machine below us.
    Unexpected = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The host lacks a program, a library or a right; the message names the package.
    HostLacks = 3,
    /// No such cluster, or it is not running.
    NoCluster = 4,
    /// The machine did not come up.
    BootFailed = 5,
    /// Waited as long as allowed.
    TimedOut = 6,
    /// A file, image or version that we do not take.
    Refused = 7,
    /// A port or another resource belongs to somebody else.
    Taken = 8,
    /// Ctrl-C; what was begun has been undone.
    Interrupted = 130,
}

impl Code {
    /// Every code.
    const ALL: [Code; 9] = [
        Code::Unexpected,
        Code::Usage,
        Code::HostLacks,
        Code::NoCluster,
        Code::BootFailed,
        Code::TimedOut,
        Code::Refused,
        Code::Taken,
        Code::Interrupted,
    ];

    /// One word for programs that read `-o json`.
    pub fn reason(self) -> &'static str {
        match self {
            Code::Unexpected => "Unexpected",
            Code::Usage => "Usage",
            Code::HostLacks => "HostLacks",
            Code::NoCluster => "NoCluster",
            Code::BootFailed => "BootFailed",
            Code::TimedOut => "TimedOut",
            Code::Refused => "Refused",
            Code::Taken => "Taken",
            Code::Interrupted => "Interrupted",
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> ExitCode {
        ExitCode::from(code as u8)
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(*self as u8)
    }
}

/// An end that the contract has a code for. Travels inside `anyhow::Error`, also below added context.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// The exit code.
    pub code: Code,
    /// The code as a word.
    pub reason: &'static str,
    /// What was attempted on what, and what came of it.
    pub message: String,
    /// What the user can do now.
    pub advice: Option<String>,
    /// Whether the command's result has told of it already, so that programs are not given a second object.
    #[serde(skip)]
    pub told: bool,
}

impl Failure {
    /// A failure without advice.
    pub fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure { code, reason: code.reason(), message: message.into(), advice: None, told: false }
    }

    /// Adds what the user can do.
    pub fn advice(mut self, advice: impl Into<String>) -> Failure {
        self.advice = Some(advice.into());
        self
    }

    /// One that the command's result has told of.
    pub fn told(mut self) -> Failure {
        self.told = true;
        self
    }

    /// A failure that another process of ours printed as JSON.
    pub fn from_json(value: &serde_json::Value) -> Option<Failure> {
        let number = value["code"].as_u64()?;
        let code = Code::ALL.into_iter().find(|code| u64::from(*code as u8) == number)?;
        let text = |field: &str| value[field].as_str().map(str::to_owned);
        Some(Failure { advice: text("advice"), ..Failure::new(code, text("message")?) })
    }

    /// Whether an error is a failure of this code.
    pub fn of_kind(error: &anyhow::Error, code: Code) -> bool {
        error.chain().any(|cause| cause.downcast_ref::<Failure>().is_some_and(|failure| failure.code == code))
    }

    /// The failure inside an error, with the context that was put around it; any other error is unexpected.
    pub fn of(error: anyhow::Error) -> Failure {
        let message = format!("{error:#}");
        // Put around a cause as its context, or the cause itself.
        let inner = error.downcast_ref::<Failure>();
        match inner.or_else(|| error.chain().find_map(|cause| cause.downcast_ref::<Failure>())) {
            Some(inner) => Failure { message, ..inner.clone() },
            None => Failure::new(Code::Unexpected, message)
                .advice("this should not happen: please report it with the command, `skerry version` and this message"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn context_around_a_failure_keeps_its_code() {
        let error = Err::<(), _>(Failure::new(Code::Taken, "port 6443 is taken")).context("starting x").unwrap_err();
        let failure = Failure::of(error);
        assert_eq!(failure.code, Code::Taken);
        assert_eq!(failure.message, "starting x: port 6443 is taken");
    }

    #[test]
    fn a_failure_that_was_put_around_a_cause_decides() {
        let error = anyhow::anyhow!("connection refused").context(Failure::new(Code::NoCluster, "no API"));
        let failure = Failure::of(error.context("listing images"));
        assert_eq!(failure.code, Code::NoCluster);
        assert_eq!(failure.message, "listing images: no API: connection refused");
    }

    #[test]
    fn any_other_error_is_unexpected() {
        assert_eq!(Failure::of(anyhow::anyhow!("disk on fire")).code, Code::Unexpected);
    }

    #[test]
    fn json_carries_the_number_and_the_word() {
        let text = serde_json::to_string(&Failure::new(Code::HostLacks, "no bc").advice("apt install bc")).unwrap();
        assert_eq!(text, r#"{"code":3,"reason":"HostLacks","message":"no bc","advice":"apt install bc"}"#);
        let read = Failure::from_json(&serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!((read.code, read.advice.as_deref()), (Code::HostLacks, Some("apt install bc")));
    }
}
