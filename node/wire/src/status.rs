//! How a command ended, as the Status on its error channel says it.

use serde_json::{Value, json};

/// Bytes of a Status at most; a longer one is cut off and then unreadable.
pub const STATUS_MAX: usize = 64 * 1024;

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With code 0.
    Success,
    /// With another code.
    Exit(u8),
    /// Not at all, or it is not known how.
    Failed(String),
}

impl Outcome {
    /// The Status of protocol version 4 and above.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let status = match self {
            Self::Success => json!({"metadata": {}, "status": "Success"}),
            Self::Exit(code) => json!({
                "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
                "message": format!("command terminated with non-zero exit code: exit status {code}"),
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            }),
            Self::Failed(message) => json!({
                "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
                "message": format!("Internal error occurred: {message}"),
                "details": {"causes": [{"message": message}]},
            }),
        };
        status.to_string().into_bytes()
    }

    /// The text of the versions before: nothing when the command succeeded.
    #[must_use]
    pub fn to_text(&self) -> Vec<u8> {
        match self {
            Self::Success => Vec::new(),
            Self::Exit(code) => format!(
                "error executing remote command: command terminated with non-zero exit code: exit status {code}"
            )
            .into_bytes(),
            Self::Failed(message) => message.clone().into_bytes(),
        }
    }

    /// Reads what came on an error channel that carries a Status; nothing at all means that the connection broke.
    #[must_use]
    pub fn from_json(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::Failed("the connection ended before the command did".to_owned());
        }
        let Ok(status) = serde_json::from_slice::<Value>(bytes) else {
            return Self::Failed(format!(
                "error stream protocol error: no Status in {:?}",
                String::from_utf8_lossy(bytes)
            ));
        };
        match (status["status"].as_str(), status["reason"].as_str()) {
            (Some("Success"), _) => Self::Success,
            (Some("Failure"), Some("NonZeroExitCode")) => {
                let causes = status["details"]["causes"].as_array().into_iter().flatten();
                let code =
                    causes.filter(|cause| cause["reason"] == "ExitCode").find_map(|cause| cause["message"].as_str());
                match code.map(str::parse) {
                    Some(Ok(code)) => Self::Exit(code),
                    Some(Err(_)) => Self::Failed("error stream protocol error: invalid exit code value".to_owned()),
                    None => Self::Failed("error stream protocol error: no ExitCode cause given".to_owned()),
                }
            }
            (Some("Failure"), _) => Self::Failed(status["message"].as_str().unwrap_or_default().to_owned()),
            _ => Self::Failed("error stream protocol error: unknown error".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_the_way() {
        for outcome in [Outcome::Success, Outcome::Exit(1), Outcome::Exit(255)] {
            assert_eq!(Outcome::from_json(&outcome.to_json()), outcome);
        }
        let failed = Outcome::from_json(&Outcome::Failed("no such file".to_owned()).to_json());
        assert_eq!(failed, Outcome::Failed("Internal error occurred: no such file".to_owned()));
    }

    #[test]
    fn what_is_no_status_is_a_failure() {
        for bytes in [&b""[..], b"{", b"{}", br#"{"status":"Failure","reason":"NonZeroExitCode"}"#,
            br#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"300"}]}}"#] {
            assert!(matches!(Outcome::from_json(bytes), Outcome::Failed(_)), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
