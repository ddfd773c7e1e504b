//! The kernel's nftables behind a narrow trait, so that a test can stand in for it.

use super::encode::{family, transaction};
use super::{Family, Op, Ruleset};
use nix::sys::socket::{setsockopt, sockopt};
use nlink::netlink::{Connection, Nftables};
use std::future::Future;
use std::os::fd::AsFd;

/// Elements in one message. A nested attribute has at most 65,535 bytes, and an element with the longest chain name
/// that Kubernetes' names allow has less than 300.
pub const ELEMENTS_PER_MESSAGE_MAX: usize = 200;

/// Bytes of one transaction, which the kernel takes in one piece: some hundred thousand elements.
pub const SEND_BUFFER_BYTES: usize = 64 << 20;

/// Whoever holds tables.
pub trait Tables: Send {
    /// Does all of these or none. `rules` is the table as it is to be afterwards.
    ///
    /// # Errors
    /// What the kernel refused.
    fn commit(&mut self, rules: &Ruleset, ops: &[Op]) -> impl Future<Output = Result<(), String>> + Send;
}

/// The kernel, in the network namespace of the thread that opened it.
pub struct Kernel {
    connection: Connection<Nftables>,
}

impl Kernel {
    /// Opens the way to the kernel.
    ///
    /// # Errors
    /// No netlink, or no right to use it.
    pub fn open() -> Result<Kernel, String> {
        let connection = Connection::<Nftables>::new().map_err(|e| format!("open a netlink socket: {e}"))?;
        setsockopt(&connection.socket().as_fd(), sockopt::SndBufForce, &SEND_BUFFER_BYTES)
            .map_err(|e| format!("let the netlink socket send {SEND_BUFFER_BYTES} bytes (needs CAP_NET_ADMIN): {e}"))?;
        Ok(Kernel { connection })
    }

    /// Whether a table has a chain of this name.
    ///
    /// # Errors
    /// The kernel did not answer.
    pub async fn has_chain(&self, of: Family, table: &str, chain: &str) -> Result<bool, String> {
        let tables = self.connection.list_tables_in(family(of)).await;
        if !tables.map_err(|e| format!("list the nftables tables: {e}"))?.iter().any(|there| there.name == table) {
            return Ok(false);
        }
        let chains = self.connection.list_chains_in(table, family(of)).await;
        let chains = chains.map_err(|e| format!("list the chains of {table}: {e}"))?;
        Ok(chains.iter().any(|there| there.name == chain))
    }
}

impl Tables for Kernel {
    async fn commit(&mut self, rules: &Ruleset, ops: &[Op]) -> Result<(), String> {
        let what = |e| format!("change the nftables table {} ({} operations): {e}", rules.table, ops.len());
        let all = transaction(self.connection.transaction(), rules, ops).map_err(what)?;
        all.commit(&self.connection).await.map_err(what)
    }
}
