//! Random rules and calls.

use crate::policy::rules::{Answer, Architecture, Case, Condition, Demand, Rule, Rules};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// For each argument: whether it is a telling value, which one, and a random one.
pub(crate) fn any_arguments() -> impl Strategy<Value = [(bool, prop::sample::Index, u64); 6]> {
    prop::array::uniform6(any::<(bool, prop::sample::Index, u64)>())
}

/// Small numbers in both halves, so that random rules and random calls meet.
pub(crate) fn any_value() -> impl Strategy<Value = u64> {
    (
        prop_oneof![Just(0), 0..4_u64],
        prop_oneof![0..8_u64, Just(0xFFFF_FFFF)],
    )
        .prop_map(|(high, low)| high << 32 | low)
}

pub(crate) fn any_calls() -> impl Strategy<Value = Vec<(u32, [u64; 6])>> {
    prop::collection::vec((0..700_u32, prop::array::uniform6(any_value())), 200)
}

pub(crate) fn any_answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        Just(Answer::Allow),
        Just(Answer::Trap),
        (0..4_u16).prop_map(Answer::Errno)
    ]
}

pub(crate) fn any_condition() -> impl Strategy<Value = Condition> {
    let set = || prop::collection::btree_set(any_value(), 1..12);
    let masked = |set: BTreeSet<u64>, mask: u64| set.iter().map(|v| v & mask).collect();
    let mask = prop_oneof![Just(u64::MAX), any_value()];
    (0..6_u32, any::<bool>(), mask, set(), 0..3_u8).prop_map(
        move |(argument, wide, mask, set, kind)| {
            let mask = if wide { mask } else { mask & 0xFFFF_FFFF };
            let demand = match kind {
                0 => Demand::Is(masked(set, mask)),
                1 => Demand::IsNot(masked(set, mask)),
                _ => Demand::WithoutBits(mask),
            };
            Condition {
                argument,
                wide,
                mask,
                demand,
            }
        },
    )
}

pub(crate) fn any_rules() -> impl Strategy<Value = Rules> {
    let case = (prop::collection::vec(any_condition(), 1..4), any_answer())
        .prop_map(|(when, then)| Case { when, then });
    let rule =
        (prop::collection::vec(case, 0..4), any_answer()).prop_map(|(cases, otherwise)| Rule {
            cases,
            otherwise,
            calls: Vec::new(),
            says: String::new(),
            reason: String::new(),
        });
    let rules = prop::collection::vec(rule, 1..30);
    let numbers = prop::collection::btree_map(0..600_u32, any::<prop::sample::Index>(), 0..500);
    (rules, numbers, any_answer()).prop_map(|(rules, numbers, unknown)| {
        let by_number: BTreeMap<_, _> = numbers
            .into_iter()
            .map(|(n, index)| (n, index.index(rules.len())))
            .collect();
        Rules {
            architecture: Architecture::X86_64,
            rules,
            by_number,
            unknown,
        }
    })
}
