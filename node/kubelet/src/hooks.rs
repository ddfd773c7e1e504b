//! Hooks of a container's life: a command in it, a request to it, or a wait. Messages as upstream's
//! `pkg/kubelet/lifecycle`.

use crate::context::Context;
use crate::cri::v1;
use crate::pod;
use crate::probe::http;
use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};
use std::time::Duration;

/// How long a hook after the start may run. Upstream sets no limit; an hour ends what would hang for ever, and the end
/// of the pod ends it earlier.
pub const POST_START_WAIT: Duration = Duration::from_secs(3600);

/// Runs a hook within `limit`.
///
/// # Errors
/// In upstream's words.
pub async fn run(
    ctx: &Context,
    pod: &Pod,
    container: &Container,
    id: &str,
    ip: &str,
    hook: &LifecycleHandler,
    limit: Duration,
) -> Result<(), String> {
    let whose = format!("for Container {:?} in Pod {:?} failed - error", container.name, pod::full_name(pod));
    if let Some(exec) = &hook.exec {
        let cmd = exec.command.clone().unwrap_or_default();
        let shown = format!("[{}]", cmd.join(" "));
        let timeout = i64::try_from(limit.as_secs().max(1)).unwrap_or(i64::MAX);
        let asked = v1::ExecSyncRequest { container_id: id.to_owned(), cmd, timeout };
        let failed = match ctx.cri.exec_sync(asked).await {
            Ok(answer) if answer.exit_code == 0 => return Ok(()),
            Ok(answer) => {
                let output = [answer.stdout, answer.stderr].concat();
                let output = String::from_utf8_lossy(&output[..output.len().min(1024)]).into_owned();
                format!("command '{shown}' exited with {}: , message: {output:?}", answer.exit_code)
            }
            Err(error) => format!("{}, message: \"\"", error.message),
        };
        return Err(format!("Exec lifecycle hook ({shown}) {whose}: {failed}"));
    }
    if let Some(action) = &hook.http_get {
        let path = action.path.clone().unwrap_or_default();
        return match http::hook(action, container, ip, limit).await {
            Ok(_) => Ok(()),
            Err(why) => Err(format!("HTTP lifecycle hook ({path}) {whose}: {why}")),
        };
    }
    if let Some(sleep) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0)).min(limit)).await;
        return Ok(());
    }
    Err("Cannot run handler: it has neither exec nor httpGet nor sleep".to_owned())
}
