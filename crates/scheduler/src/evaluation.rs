//! What is wanted.

use crate::view::{NodeId, Resources};
use soulbox_model::{Isolation, TemplateName};

/// One sandbox that wants a place.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// What it takes.
    pub resources: Resources,
    /// The level of isolation that it must have.
    pub isolation: Isolation,
    /// The template that it is made from. A node that has it is better than one that must fetch it.
    pub template: TemplateName,
    /// The node that has its memory or its files, which no other one can stand in for.
    pub bound_to: Option<NodeId>,
    /// Nodes on which it failed before: they come last.
    pub failed_on: Vec<NodeId>,
}

/// A question: where do these go?
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    /// Its name, told in the plan.
    pub id: String,
    /// What is wanted. Each is placed with those before it in mind.
    pub asks: Vec<Ask>,
}
