//! The container engine as the server's [`Runtime`].

use super::view::{Measured, Ran, Runtime, Streams};
use crate::cri::{Cri, v1};
use anyhow::Result;
use futures_util::future::BoxFuture;
use std::time::Duration;

impl Runtime for Cri {
    fn exec<'a>(&'a self, id: &'a str, command: &'a [String], streams: Streams) -> BoxFuture<'a, Result<String>> {
        let Streams { stdin, stdout, stderr, tty } = streams;
        let (container_id, cmd) = (id.to_owned(), command.to_vec());
        let request = v1::ExecRequest { container_id, cmd, tty, stdin, stdout, stderr };
        Box::pin(async move { Ok(Cri::exec(self, request).await?.url) })
    }

    fn attach<'a>(&'a self, id: &'a str, streams: Streams) -> BoxFuture<'a, Result<String>> {
        let Streams { stdin, stdout, stderr, tty } = streams;
        let request = v1::AttachRequest { container_id: id.to_owned(), stdin, tty, stdout, stderr };
        Box::pin(async move { Ok(Cri::attach(self, request).await?.url) })
    }

    fn run<'a>(&'a self, id: &'a str, command: &'a [String], limit: Duration) -> BoxFuture<'a, Result<Ran>> {
        let timeout = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
        let request = v1::ExecSyncRequest { container_id: id.to_owned(), cmd: command.to_vec(), timeout };
        Box::pin(async move {
            let ran = self.exec_sync(request).await?;
            Ok(Ran { stdout: ran.stdout, stderr: ran.stderr, code: ran.exit_code })
        })
    }

    fn measured(&self) -> BoxFuture<'_, Result<Vec<Measured>>> {
        Box::pin(async move {
            let listed = self.list_container_stats(v1::ListContainerStatsRequest::default()).await?;
            Ok(listed.stats.into_iter().map(measured).collect())
        })
    }
}

fn measured(stats: v1::ContainerStats) -> Measured {
    let layer = stats.writable_layer;
    Measured {
        id: stats.attributes.map(|attributes| attributes.id).unwrap_or_default(),
        cpu_ns: stats.cpu.and_then(|cpu| cpu.usage_core_nano_seconds).map(|v| v.value),
        memory_working_set: stats.memory.and_then(|memory| memory.working_set_bytes).map(|v| v.value),
        writable_bytes: layer.as_ref().and_then(|layer| layer.used_bytes).map(|v| v.value),
        writable_inodes: layer.and_then(|layer| layer.inodes_used).map(|v| v.value),
    }
}
