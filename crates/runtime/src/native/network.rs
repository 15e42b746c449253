//! The network of sandboxes.
//!
//! A sandbox's network namespace is made by the spawner from outside and belongs to the host's
//! user namespace, or to an empty one of a zygote's user, so that root in the sandbox has no power
//! over it. With `none` it has its
//! loopback only. With `internet` a veth pair leads out of it:
//!
//! ```text
//! sandbox                        host                                          internet
//! eth0 a.b.c.(2n+1)/31 ───────── sbx<n> a.b.c.(2n)/31 ── table inet soulbox ── uplink
//! 127.0.0.53:53 (our sockets, served by the engine) ──── the host's name servers
//! ```
//!
//! | Story | File |
//! |---|---|
//! | making a namespace, and its resolver's sockets | [`namespace`] |
//! | one that a zygote's copies may enter | `owned` |
//! | the veth pair | [`link`] |
//! | who gets which address | [`address`] |
//! | the walls on the host's side | [`firewall`] |
//!
//! `docs/decisions/0003-network.md` has the reasons.

pub mod address;
pub mod firewall;
pub mod link;
pub mod namespace;
mod owned;
