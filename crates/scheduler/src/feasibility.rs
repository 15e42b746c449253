//! Which nodes can take a sandbox, and why others cannot.

use crate::evaluation::Ask;
use crate::view::{Node, Resources};

/// Why a node cannot take a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Obstacle {
    /// It takes nothing new.
    #[error("takes nothing new")]
    NotReady,
    /// The sandbox is bound to another one.
    #[error("does not have what the sandbox is bound to")]
    Elsewhere,
    /// It lacks the level of isolation.
    #[error("lacks the level of isolation")]
    Isolation,
    /// It has as many sandboxes as it may.
    #[error("has as many sandboxes as it may (setting node.max_sandboxes)")]
    Sandboxes,
    /// Its memory is promised.
    #[error("has promised its memory (setting node.promised_memory)")]
    Memory,
    /// Its processors are promised.
    #[error("has promised its processors")]
    Cpu,
    /// Its disk is promised.
    #[error("has promised its disk")]
    Disk,
}

/// Whether a node can take a sandbox.
///
/// # Errors
/// The first [`Obstacle`].
pub fn check(node: &Node, ask: &Ask) -> Result<(), Obstacle> {
    let elsewhere = ask.bound_to.as_ref().is_some_and(|bound| *bound != node.id);
    let after = node.used.and(ask.resources);
    let over = |part: fn(&Resources) -> u64| {
        let total = part(&node.total);
        total != 0 && part(&after) > total
    };
    let obstacles = [
        (!node.ready, Obstacle::NotReady),
        (elsewhere, Obstacle::Elsewhere),
        (
            !node.isolation.contains(&ask.isolation),
            Obstacle::Isolation,
        ),
        (over(|of| of.sandboxes), Obstacle::Sandboxes),
        (over(|of| of.memory), Obstacle::Memory),
        (over(|of| of.cpu_millis), Obstacle::Cpu),
        (over(|of| of.disk), Obstacle::Disk),
    ];
    match obstacles.iter().find(|(stands, _)| *stands) {
        Some((_, obstacle)) => Err(*obstacle),
        None => Ok(()),
    }
}
