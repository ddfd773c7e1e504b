//! The ReplicationController controller.
//!
//! It must not know ReplicaSets, which it predates.

use crate::context::{Context, Life, selects_map};
use crate::replica::{Replicated, run};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec, ReplicationController};
use serde_json::{Value, json};

impl Replicated for ReplicationController {
    fn wants(&self, pod: &Pod) -> bool {
        selects_map(self.spec.as_ref().and_then(|s| s.selector.as_ref()), pod.metadata.labels.as_ref())
    }
    fn replicas(&self) -> usize {
        usize::try_from(self.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)).unwrap_or(0)
    }
    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref()?.template.as_ref()
    }
    fn min_ready_seconds(&self) -> i32 {
        self.spec.as_ref().and_then(|s| s.min_ready_seconds).unwrap_or(0)
    }
    fn status(&self) -> Value {
        json!(self.status.clone().unwrap_or_default())
    }
}

/// Runs the controller.
pub fn start(context: Context) -> Life {
    Box::pin(run::<ReplicationController>("replication-controller", context))
}
