//! What the nodes have, and what of it is taken.

use soulbox_model::{Isolation, Limits, TemplateName};
use std::collections::BTreeSet;
use std::fmt;

/// The name of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub String);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An amount of everything that sandboxes share on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resources {
    /// Thousandths of a CPU.
    pub cpu_millis: u64,
    /// Bytes of memory that can be counted on.
    pub memory: u64,
    /// Bytes on disk.
    pub disk: u64,
    /// Sandboxes.
    pub sandboxes: u64,
}

impl Resources {
    /// What one sandbox with these limits takes.
    pub fn of(limits: &Limits) -> Self {
        Self {
            cpu_millis: u64::from(limits.cpu_millis),
            memory: limits.memory.bytes(),
            disk: limits.disk.bytes(),
            sandboxes: 1,
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
            memory: self.memory.saturating_add(other.memory),
            disk: self.disk.saturating_add(other.disk),
            sandboxes: self.sandboxes.saturating_add(other.sandboxes),
        }
    }
}

/// A node, as far as placing sandboxes on it goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// Whether it takes new sandboxes: it answers, and is not being drained.
    pub ready: bool,
    /// What may be taken of it. Processors and disk may be promised more often than they exist (0: not
    /// counted), memory as its operator says (0: not counted).
    pub total: Resources,
    /// What is taken.
    pub used: Resources,
    /// The levels of isolation that it has.
    pub isolation: Vec<Isolation>,
    /// The templates that it has already.
    pub templates: BTreeSet<TemplateName>,
}

/// All nodes at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct View {
    /// The nodes, in any order.
    pub nodes: Vec<Node>,
}
