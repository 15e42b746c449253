//! What the rules say, read off one after the other: what a compiled filter is held against.

use crate::interpreter::Call;
use crate::policy::rules::{Answer, Condition, Demand, Rules};

/// The answer to `call` in Linux's numbers.
pub(crate) fn evaluate(rules: &Rules, call: &Call) -> u32 {
    answer(rules, call).value()
}

fn answer(rules: &Rules, call: &Call) -> Answer {
    if call.architecture != rules.architecture.token() {
        return Answer::Trap;
    }
    let Some(place) = rules.by_number.get(&call.number) else {
        return rules.unknown;
    };
    let rule = &rules.rules[*place];
    for case in &rule.cases {
        if case.when.iter().all(|condition| holds(condition, call)) {
            return case.then;
        }
    }
    rule.otherwise
}

fn holds(condition: &Condition, call: &Call) -> bool {
    let argument = call.arguments[usize::try_from(condition.argument).unwrap()];
    // Linux reads an int from the lower half.
    let value = if condition.wide {
        argument
    } else {
        argument & 0xFFFF_FFFF
    };
    match &condition.demand {
        Demand::Is(values) => values.contains(&(value & condition.mask)),
        Demand::IsNot(values) => !values.contains(&(value & condition.mask)),
        Demand::WithoutBits(bits) => value & bits == 0,
    }
}
