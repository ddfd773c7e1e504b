//! What can go wrong with an image, as far as callers tell it apart.

use tonic::Code;

/// Why something was not done.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Fault {
    /// The request is wrong; says which field and what would be right.
    #[error("{field}: {message}")]
    Invalid {
        /// The field at fault.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// No such image, load or blob.
    #[error("{0}")]
    NotFound(String),
    /// Not now: somebody else is at it, or the image is in use.
    #[error("{0}")]
    Conflict(String),
    /// containerd does not answer.
    #[error("{call}: the container engine does not answer: {message}")]
    Unavailable {
        /// The call.
        call: &'static str,
        /// The transport's words.
        message: String,
    },
    /// containerd refused; its words.
    #[error("{call}: {message}")]
    Failed {
        /// The call.
        call: &'static str,
        /// containerd's words.
        message: String,
    },
}

impl Fault {
    /// A wrong request.
    pub fn invalid(field: &'static str, message: impl Into<String>) -> Fault {
        Fault::Invalid { field, message: message.into() }
    }

    /// What containerd's answer to a call means.
    pub(super) fn of(call: &'static str, status: &tonic::Status) -> Fault {
        let message = status.message().to_owned();
        match status.code() {
            Code::NotFound => Fault::NotFound(format!("{call}: {message}")),
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Fault::Unavailable { call, message },
            _ => Fault::Failed { call, message },
        }
    }
}

/// A failure of this machine itself: `.map_err(failed("window"))`.
pub(super) fn failed<E: std::fmt::Display>(call: &'static str) -> impl Fn(E) -> Fault {
    move |error| Fault::Failed { call, message: error.to_string() }
}

/// Names the call in a failure of containerd: `.map_err(at("images.Get"))`.
pub(super) fn at(call: &'static str) -> impl Fn(tonic::Status) -> Fault {
    move |status| Fault::of(call, &status)
}

/// The answer, or nothing when containerd has no such thing.
pub(super) fn found<T>(
    call: &'static str,
    answer: Result<tonic::Response<T>, tonic::Status>,
) -> Result<Option<T>, Fault> {
    match answer {
        Ok(answer) => Ok(Some(answer.into_inner())),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(Fault::of(call, &status)),
    }
}

/// Whether the call made the thing; `false` when it was there before.
pub(super) fn made<T>(call: &'static str, answer: Result<tonic::Response<T>, tonic::Status>) -> Result<bool, Fault> {
    match answer {
        Ok(_) => Ok(true),
        Err(status) if status.code() == Code::AlreadyExists => Ok(false),
        Err(status) => Err(Fault::of(call, &status)),
    }
}
