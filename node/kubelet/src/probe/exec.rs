//! Probing by a command in the container. The command itself is run by whoever speaks CRI, as `ExecSync`.
//!
//! It must not know the runtime.

use super::Outcome;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a command's output that are kept, upstream's 10 KiB.
pub const OUTPUT_BYTES_MAX: usize = 10 << 10;

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecAnswer {
    /// Its exit code.
    pub code: i32,
    /// Its output, standard output and error together.
    pub output: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecFailure {
    /// The time was over: the probe has failed. The text is the runtime's.
    TimedOut(String),
    /// It could not be run: the probe could not be asked.
    Other(String),
}

/// Runs a command in the container of this id within this time (CRI `ExecSync`).
pub type Exec = Arc<
    dyn Fn(String, Vec<String>, Duration) -> Pin<Box<dyn Future<Output = Result<ExecAnswer, ExecFailure>> + Send>>
        + Send
        + Sync,
>;

/// What it means.
#[must_use]
pub fn judge(result: Result<ExecAnswer, ExecFailure>) -> Outcome {
    match result {
        Ok(answer) if answer.code == 0 => Outcome::Success,
        Ok(answer) => {
            let kept = &answer.output[..answer.output.len().min(OUTPUT_BYTES_MAX)];
            Outcome::Failure(String::from_utf8_lossy(kept).into_owned())
        }
        Err(ExecFailure::TimedOut(text)) => Outcome::Failure(text),
        Err(ExecFailure::Other(text)) => Outcome::Error(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_exit_code_of_nought_is_well() {
        let answer = |code| judge(Ok(ExecAnswer { code, output: b"out".to_vec() }));
        assert_eq!(answer(0), Outcome::Success);
        assert_eq!(answer(2), Outcome::Failure("out".to_owned()));
        assert_eq!(judge(Err(ExecFailure::TimedOut("t".into()))), Outcome::Failure("t".to_owned()));
        assert_eq!(judge(Err(ExecFailure::Other("o".into()))), Outcome::Error("o".to_owned()));
    }
}
