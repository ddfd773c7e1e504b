//! The kernel's nftables behind a narrow trait, so that a test can stand in for it.

use super::encode::{family, set, transaction};
use super::{Family, Key, Op, Ruleset};
use nix::sys::socket::{setsockopt, sockopt};
use nlink::netlink::nftables::{SetElement, SetElementData};
use nlink::netlink::{Connection, Nftables};
use std::collections::BTreeSet;
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

    /// Takes from a map that packets fill every element whose key begins with, and whose value ends, one of `gone`.
    ///
    /// # Errors
    /// What the kernel refused.
    fn forget(&mut self, rules: &Ruleset, map: &str, gone: &[Key]) -> impl Future<Output = Result<(), String>> + Send;
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

    async fn forget(&mut self, rules: &Ruleset, map: &str, gone: &[Key]) -> Result<(), String> {
        let what = |e| format!("forget elements of {map} in {}: {e}", rules.table);
        let gone: BTreeSet<Vec<u8>> = gone.iter().map(Key::bytes).collect();
        let there = self.connection.list_set_elements(rules.table, map, family(rules.family)).await.map_err(what)?;
        // A memory's key ends with the source's address.
        let source = rules.family.words() * 4;
        let is_gone = |element: &&SetElement| match element.data() {
            Some(SetElementData::Value(value)) => {
                let front = element.key().len().saturating_sub(source);
                gone.contains(&[&element.key()[..front], &value[..]].concat())
            }
            _ => false,
        };
        let stale: Vec<SetElement> =
            there.iter().filter(is_gone).map(|element| SetElement::new(element.key().to_vec())).collect();
        if stale.is_empty() {
            return Ok(());
        }
        let shape = set(rules, map, &rules.sets[map]);
        let parts = stale.chunks(ELEMENTS_PER_MESSAGE_MAX);
        let all = parts.fold(self.connection.transaction(), |all, some| all.destroy_set_elements(&shape, some));
        all.commit(&self.connection).await.map_err(what)
    }
}
