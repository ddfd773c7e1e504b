//! What is asked of a log: the query of `/containerLogs`, as `k8s.io/api/core/v1.PodLogOptions` has it.

use crate::server::answer::Refusal;
use crate::server::query::Query;
use jiff::{SignedDuration, Timestamp};

/// What is asked of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Goes on until the container has ended.
    pub follow: bool,
    /// The log of the attempt before.
    pub previous: bool,
    /// Each line begins with its time.
    pub timestamps: bool,
    /// Only lines from then on.
    pub since: Option<Timestamp>,
    /// Only so many lines from the end.
    pub tail: Option<u64>,
    /// So many bytes at most.
    pub limit: Option<u64>,
    /// Output, error output, or both.
    pub wants: Wants,
}

/// Which streams are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wants {
    /// Both.
    #[default]
    All,
    /// Output.
    Stdout,
    /// Error output.
    Stderr,
}

impl Options {
    /// Reads the query; `now` is what `sinceSeconds` counts back from.
    ///
    /// # Errors
    /// 400 for what cannot be read, 422 for what makes no sense.
    pub fn parse(query: &Query, now: Timestamp) -> Result<Options, Refusal> {
        let invalid = |what: &str| Refusal::new(422, format!("{{\"message\": \"Invalid request: {what}.\"}}"));
        let number = |key: &str| -> Result<Option<i64>, Refusal> {
            let read =
                |text: &str| text.parse().map_err(|_| Refusal::new(400, format!("{key}: {text:?} is no number")));
            query.text(key).map(read).transpose()
        };
        let least = |key: &str, least: i64| match number(key)? {
            Some(number) if number < least => Err(invalid(&format!("{key} must be at least {least}"))),
            number => Ok(number.and_then(|number| u64::try_from(number).ok())),
        };
        let tail = match query.text("tail") {
            Some("all") => None,
            Some(_) => least("tail", 0)?,
            None => least("tailLines", 0)?,
        };
        let since = match (least("sinceSeconds", 1)?, query.text("sinceTime")) {
            (Some(_), Some(_)) => return Err(invalid("at most one of sinceTime or sinceSeconds may be specified")),
            (Some(seconds), None) => {
                let back = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
                Some(now.checked_sub(back).unwrap_or(Timestamp::MIN))
            }
            (None, Some(time)) => {
                Some(time.parse().map_err(|_| Refusal::new(400, format!("sinceTime: {time:?} is no time")))?)
            }
            (None, None) => None,
        };
        let wants = match query.text("stream").unwrap_or("All") {
            "All" => Wants::All,
            "Stdout" => Wants::Stdout,
            "Stderr" => Wants::Stderr,
            other => return Err(invalid(&format!("stream {other} is none of All, Stdout, Stderr"))),
        };
        if wants != Wants::All && tail.is_some() {
            return Err(invalid("tailLines and a single stream exclude each other"));
        }
        Ok(Options {
            follow: query.flag("follow"),
            previous: query.flag("previous"),
            timestamps: query.flag("timestamps"),
            since,
            tail,
            limit: least("limitBytes", 1)?,
            wants,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str) -> Result<Options, u16> {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        Options::parse(&Query::parse(query), now).map_err(|refusal| refusal.code)
    }

    #[test]
    fn options_are_read() {
        assert_eq!(check(""), Ok(Options::default()));
        let all = check("follow=true&previous=1&timestamps=true&sinceSeconds=5&tailLines=0&limitBytes=7").unwrap();
        assert!(all.follow && all.previous && all.timestamps);
        assert_eq!(all.since.unwrap().to_string(), "2026-01-02T03:04:00Z");
        assert_eq!((all.tail, all.limit), (Some(0), Some(7)));
        assert_eq!(check("stream=Stderr").unwrap().wants, Wants::Stderr);
        assert_eq!(check("tail=all").unwrap().tail, None);
        assert!(!check("follow=false").unwrap().follow);
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        for (query, code) in [
            ("tailLines=-1", 422),
            ("limitBytes=0", 422),
            ("sinceSeconds=0", 422),
            ("sinceSeconds=1&sinceTime=2026-01-02T03:04:05Z", 422),
            ("stream=Both", 422),
            ("stream=Stdout&tailLines=1", 422),
            ("tailLines=x", 400),
            ("sinceTime=x", 400),
        ] {
            assert_eq!(check(query), Err(code), "{query}");
        }
    }
}
