//! Questions about nf_tables and connection tracking (`linux/netfilter/*.h`).

use super::message::{Batch, attributes};

/// `NFNL_SUBSYS_NFTABLES`.
const TABLES: u16 = 10;
/// `NFT_MSG_GETCHAIN`.
const GET_CHAIN: u16 = 4;
/// `NFT_MSG_NEWCHAIN`, the answer.
const CHAIN: u16 = 3;
/// `NFTA_CHAIN_TABLE`.
const CHAIN_TABLE: u16 = 1;
/// `NFTA_CHAIN_NAME`.
const CHAIN_NAME: u16 = 3;
/// `NFTA_CHAIN_USE`.
const CHAIN_USE: u16 = 6;
/// `NFPROTO_INET`.
const INET: u8 = 1;
/// Length of `struct nfgenmsg`.
const HEAD: usize = 4;

/// The group that is told of changes to tables, chains and rules (`NFNLGRP_NFTABLES` is 7).
pub const TABLES_GROUP: u32 = 1 << 6;

/// What a message of [`TABLES_GROUP`] tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// A table, chain, set or rule is gone.
    Removed,
    /// A chain is new, or its policy is another one.
    Chain,
    /// Anything else.
    Other,
}

impl Batch {
    /// Asks for a chain of a table of family `inet`; see [`chain_use`].
    pub fn inet_chain(&mut self, asked: &'static str, table: &str, chain: &str) {
        self.add(asked, TABLES << 8 | GET_CHAIN, 0, &[INET, 0, 0, 0])
            .attribute(CHAIN_TABLE, &[table.as_bytes(), &[0]].concat())
            .attribute(CHAIN_NAME, &[chain.as_bytes(), &[0]].concat());
    }
}

/// How many rules a chain has, and jumps to it, in the answer to [`Batch::inet_chain`].
pub fn chain_use(kind: u16, payload: &[u8]) -> Option<u32> {
    if kind != TABLES << 8 | CHAIN {
        return None;
    }
    let value = attributes(payload.get(HEAD..)?)
        .find(|(kind, _)| *kind == CHAIN_USE)?
        .1;
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

/// What a message of [`TABLES_GROUP`] tells, by its type.
pub fn news(kind: u16) -> News {
    /// `NFT_MSG_DELTABLE`, `NFT_MSG_DELCHAIN`, `NFT_MSG_DELRULE`, `NFT_MSG_DELSET`.
    const REMOVALS: [u16; 4] = [2, 5, 8, 11];
    match (kind >> 8, kind & 0xff) {
        (TABLES, removal) if REMOVALS.contains(&removal) => News::Removed,
        (TABLES, CHAIN) => News::Chain,
        _ => News::Other,
    }
}
