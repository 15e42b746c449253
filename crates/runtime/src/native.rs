//! The native driver: Linux namespaces, an overlay root, cgroups and a system-call filter.
//!
//! Two halves that speak over a socket (`soulbox_wire::spawner`): the **spawner**, a small
//! single-threaded process that makes the sandboxes, and the **driver** in the engine.
//!
//! | Story | File |
//! |---|---|
//! | the spawner's loop | [`spawner`], `source` |
//! | its own mount namespace, and the kit in it | `home`, `kit` |
//! | making a slot and a sandbox, from outside | `builder`, `sandbox`, `tree`, [`cgroup`], `slot_network` |
//! | the same from inside, up to the agent | `guest`, `guest_mount`, `mask` |
//! | a zygote's start, from inside | `zygote` |
//! | what the engine's user may do, and which ids come of it | [`rights`], [`ids`] |
//! | counting processes without a cgroup | `process_limit` |
//! | layers as one tree, to read them on the host | [`merged`] |
//! | giving back | `undo`, `closer` |
//! | what a killed spawner leaves: who, and where it is written down | [`identity`], [`journal`] |
//! | the security policy as tables | [`policy`] |
//! | what is given up before the agent starts | [`seccomp`], [`capability`] |
//! | what a sandbox reaches | [`network`] |
//! | packets with descriptors | [`channel`] |
//! | the engine's half | [`driver`] |

mod builder;
pub mod capability;
pub mod cgroup;
pub mod channel;
mod closer;
pub mod driver;
mod guest;
mod guest_mount;
mod home;
pub mod identity;
pub mod ids;
pub mod journal;
mod kit;
mod mask;
pub mod merged;
pub mod network;
pub mod policy;
mod process_limit;
pub mod rights;
mod sandbox;
pub mod seccomp;
mod slot_network;
mod source;
pub mod spawner;
pub mod step;
mod tree;
mod undo;
mod zygote;
