//! Certificates are issued anew before they run out, however long the process lives. Whoever uses them reads them from
//! slots and notices nothing.

use pki::Pki;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

/// The longest sleep. A clock that was set meanwhile is noticed after it; certificates live for months.
const LOOK_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The shortest sleep, and so the wait after a failure: a full disk is not emptied within seconds.
const LOOK_MIN: Duration = Duration::from_secs(10 * 60);

/// Renews what is due until told to stop.
pub async fn keep(pki: Arc<Pki>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause(pki.next_renewal(), SystemTime::now())) => (),
        }
        let now = SystemTime::now();
        if pki.next_renewal() > now {
            continue;
        }
        let due = pki.clone();
        match tokio::task::spawn_blocking(move || due.renew_due(now)).await {
            Ok(Ok(roles)) => tracing::info!(?roles, "certificates were issued anew"),
            Ok(Err(error)) => tracing::error!(error = format!("{error:#}"), "certificates could not be issued anew"),
            Err(error) => tracing::error!(%error, "issuing certificates anew broke off"),
        }
    }
}

/// How long to sleep at `now` when something is due at `next`.
fn pause(next: SystemTime, now: SystemTime) -> Duration {
    next.duration_since(now).unwrap_or(Duration::ZERO).clamp(LOOK_MIN, LOOK_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_slept_through_and_nothing_is_asked_all_the_time() {
        let now = SystemTime::UNIX_EPOCH + LOOK_MAX * 9;
        let hour = Duration::from_secs(3600);
        assert_eq!(pause(now + hour, now), hour);
        assert_eq!(pause(now + LOOK_MAX * 90, now), LOOK_MAX);
        assert_eq!(pause(now, now), LOOK_MIN);
        assert_eq!(pause(now - hour, now), LOOK_MIN, "what is overdue failed before");
    }
}
