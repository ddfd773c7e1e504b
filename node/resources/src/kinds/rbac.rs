//! Roles and bindings: their names are path segments, so that `system:node` is one. Rules of
//! `k8s.io/kubernetes/pkg/registry/rbac` and `pkg/apis/rbac/validation`.

use crate::rules::{PLAIN, Rules};

/// What roles, cluster roles and their bindings share.
pub const RULES: Rules = Rules { name: api::names::path_segment, create_on_update: true, ..PLAIN };
