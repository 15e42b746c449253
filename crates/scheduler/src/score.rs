//! Which of the nodes that can is best.

use crate::evaluation::Ask;
use crate::view::{Node, Resources};

/// How good a node is for a sandbox; larger is better. Compared part by part, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    /// It did not fail there before.
    fresh: bool,
    /// The template is there: fetching one takes seconds, anything else milliseconds.
    has_template: bool,
    /// How full the node is afterwards in what it will lack first, in millionths. Full nodes first: so
    /// large sandboxes still find room, and empty nodes can be given back.
    fullness: u64,
}

/// The score of a node that can take the sandbox.
pub fn score(node: &Node, ask: &Ask) -> Score {
    let after = node.used.and(ask.resources);
    let share = |part: fn(&Resources) -> u64| {
        let (used, total) = (u128::from(part(&after)), u128::from(part(&node.total)));
        let millionths = (used * 1_000_000).checked_div(total).unwrap_or(0);
        u64::try_from(millionths).unwrap_or(u64::MAX)
    };
    let shares = [
        share(|of| of.memory),
        share(|of| of.cpu_millis),
        share(|of| of.disk),
        share(|of| of.sandboxes),
    ];
    Score {
        fresh: !ask.failed_on.contains(&node.id),
        has_template: node.templates.contains(&ask.template),
        fullness: shares.into_iter().max().unwrap_or(0),
    }
}
