//! The answer: where each sandbox goes, or why it goes nowhere.

use crate::evaluation::{Ask, Evaluation};
use crate::feasibility::{self, Obstacle};
use crate::score::score;
use crate::view::{NodeId, View};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

/// A sandbox's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// Which ask it is for, by its place in the evaluation.
    pub ask: usize,
    /// Where it goes.
    pub node: NodeId,
}

/// A sandbox that has no place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplaced {
    /// Which ask it is, by its place in the evaluation.
    pub ask: usize,
    /// How many nodes each obstacle was found on; empty when there are no nodes.
    pub obstacles: BTreeMap<Obstacle, usize>,
}

impl fmt::Display for Unplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.obstacles.is_empty() {
            return f.write_str("there is no node");
        }
        let told = self.obstacles.iter().map(|(obstacle, count)| match count {
            1 => format!("one node {obstacle}"),
            count => format!("{count} nodes: each {obstacle}"),
        });
        f.write_str(&told.collect::<Vec<_>>().join("; "))
    }
}

impl Unplaced {
    /// Whether a place may come free by itself: sandboxes end, memory is given back.
    pub fn may_pass(&self) -> bool {
        let passes =
            |obstacle: &Obstacle| !matches!(obstacle, Obstacle::Elsewhere | Obstacle::Isolation);
        self.obstacles.keys().any(passes)
    }
}

/// The answer to an evaluation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The evaluation's name.
    pub evaluation: String,
    /// The places.
    pub allocations: Vec<Allocation>,
    /// Those without.
    pub unplaced: Vec<Unplaced>,
}

/// Places what is wanted. One that has no place keeps none of the others from theirs. Among equally good
/// nodes the first by name is taken.
pub fn plan(view: &View, evaluation: &Evaluation) -> Plan {
    let mut view = view.clone();
    let mut plan = Plan {
        evaluation: evaluation.id.clone(),
        ..Plan::default()
    };
    for (number, ask) in evaluation.asks.iter().enumerate() {
        match place(&mut view, ask) {
            Ok(node) => plan.allocations.push(Allocation { ask: number, node }),
            Err(obstacles) => plan.unplaced.push(Unplaced {
                ask: number,
                obstacles,
            }),
        }
    }
    plan
}

/// Takes the best node's room for a sandbox.
fn place(view: &mut View, ask: &Ask) -> Result<NodeId, BTreeMap<Obstacle, usize>> {
    let mut obstacles = BTreeMap::new();
    let mut best = None;
    for node in &mut view.nodes {
        match feasibility::check(node, ask) {
            Ok(()) => {
                let rank = (score(node, ask), Reverse(node.id.clone()));
                if best.as_ref().is_none_or(|(better, _)| rank > *better) {
                    best = Some((rank, node));
                }
            }
            Err(obstacle) => *obstacles.entry(obstacle).or_insert(0) += 1,
        }
    }
    let Some((_, node)) = best else {
        return Err(obstacles);
    };
    node.used = node.used.and(ask.resources);
    Ok(node.id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{Node, Resources};
    use proptest::prelude::*;
    use soulbox_model::{Isolation, TemplateName};

    fn node(name: &str, memory: u64, used: u64) -> Node {
        Node {
            id: NodeId(name.to_owned()),
            ready: true,
            total: Resources {
                memory,
                sandboxes: 100,
                ..Resources::default()
            },
            used: Resources {
                memory: used,
                ..Resources::default()
            },
            isolation: vec![Isolation::Namespace],
            templates: [TemplateName::host()].into(),
        }
    }

    fn ask(memory: u64) -> Ask {
        Ask {
            resources: Resources {
                memory,
                sandboxes: 1,
                ..Resources::default()
            },
            isolation: Isolation::Namespace,
            template: TemplateName::host(),
            bound_to: None,
            failed_on: Vec::new(),
        }
    }

    fn places(nodes: Vec<Node>, asks: Vec<Ask>) -> Vec<Option<String>> {
        let evaluation = Evaluation {
            id: "e".to_owned(),
            asks,
        };
        let plan = plan(&View { nodes }, &evaluation);
        let mut places = vec![None; evaluation.asks.len()];
        for allocation in plan.allocations {
            places[allocation.ask] = Some(allocation.node.0);
        }
        places
    }

    #[test]
    fn the_fullest_node_that_can_is_taken() {
        let nodes = vec![node("a", 100, 0), node("b", 100, 50), node("c", 100, 95)];
        let places = places(nodes, vec![ask(10), ask(10), ask(90), ask(90)]);
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(places, [named("b"), named("b"), named("a"), None]);
    }

    #[test]
    fn a_node_with_the_template_is_better_than_a_full_one() {
        let mut full = node("a", 100, 90);
        full.templates.clear();
        let places = places(vec![full, node("b", 100, 0)], vec![ask(1)]);
        assert_eq!(places, [Some("b".to_owned())]);
    }

    #[test]
    fn a_bound_sandbox_goes_nowhere_else_and_a_failed_one_goes_back_last() {
        let nodes = || vec![node("a", 100, 0), node("b", 100, 50)];
        let bound = Ask {
            bound_to: Some(NodeId("a".to_owned())),
            ..ask(1)
        };
        let failed = Ask {
            failed_on: vec![NodeId("b".to_owned())],
            ..ask(1)
        };
        assert_eq!(places(nodes(), vec![bound]), [Some("a".to_owned())]);
        assert_eq!(
            places(nodes(), vec![failed.clone()]),
            [Some("a".to_owned())]
        );
        assert_eq!(
            places(vec![node("b", 100, 50)], vec![failed]),
            [Some("b".to_owned())]
        );
    }

    #[test]
    fn obstacles_are_counted_and_told() {
        let mut drained = node("a", 100, 0);
        drained.ready = false;
        let view = View {
            nodes: vec![drained, node("b", 5, 0), node("c", 5, 0)],
        };
        let evaluation = Evaluation {
            id: String::new(),
            asks: vec![ask(10)],
        };
        let plan = plan(&view, &evaluation);
        let unplaced = &plan.unplaced[0];
        assert_eq!(unplaced.obstacles[&Obstacle::Memory], 2);
        assert_eq!(unplaced.obstacles[&Obstacle::NotReady], 1);
        assert!(unplaced.may_pass());
        assert!(
            unplaced
                .to_string()
                .contains("2 nodes: each has promised its memory")
        );
    }

    proptest! {
        #[test]
        fn no_node_is_ever_given_more_than_it_has(
            totals in prop::collection::vec((1_u64..1000, 0_u64..500), 0..8),
            wanted in prop::collection::vec(1_u64..400, 0..40),
        ) {
            let nodes: Vec<_> = totals
                .iter()
                .enumerate()
                .map(|(n, (total, used))| node(&format!("n{n}"), *total, *used))
                .collect();
            let places = places(nodes.clone(), wanted.iter().map(|memory| ask(*memory)).collect());
            for node in nodes {
                let here = places.iter().zip(&wanted);
                let given: u64 = here
                    .filter(|(place, _)| place.as_deref() == Some(&*node.id.0))
                    .map(|(_, memory)| memory)
                    .sum();
                prop_assert!(given == 0 || node.used.memory + given <= node.total.memory);
            }
            // Whoever was refused would not fit now either.
            prop_assert_eq!(places.len(), wanted.len());
        }
    }
}
