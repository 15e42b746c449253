//! The rules as a BPF program.

use super::program::{Instruction, Node, Program, Test};
use super::rules::{Answer, Condition, Demand, Rule, Rules};
use super::tree;
use std::collections::{BTreeMap, BTreeSet};

// Where Linux's `struct seccomp_data` has its fields, in bytes.
/// The call's number.
const NUMBER: u32 = 0;
/// The system-call interface that was entered.
const ARCHITECTURE: u32 = 4;
/// The first of six arguments of 8 bytes.
const ARGUMENTS: u32 = 16;

/// The most instructions that Linux takes (`BPF_MAXINSNS`).
const LONGEST: usize = 4096;

/// Compiles `rules`.
pub(crate) fn compile(rules: &Rules) -> Result<Vec<Instruction>, String> {
    let mut program = Program::default();
    let foreign = program.answer(Answer::Trap.value());
    let unknown = program.answer(rules.unknown.value());
    // Each rule once, also where several calls share it.
    let nodes: Vec<Node> = rules
        .rules
        .iter()
        .map(|rule| put_rule(&mut program, rule))
        .collect();
    let by_number: BTreeMap<u32, Node> = rules
        .by_number
        .iter()
        .map(|(number, rule)| (*number, nodes[*rule]))
        .collect();
    let number = tree::build(&mut program, &by_number, unknown);
    let number = program.load(NUMBER, number);
    let known = program.jump(Test::Equal, rules.architecture.token(), number, foreign);
    program.load(ARCHITECTURE, known);
    let program = program.finish();
    if program.len() > LONGEST {
        return Err(format!(
            "the filter has {} instructions, and Linux takes {LONGEST}",
            program.len()
        ));
    }
    Ok(program)
}

fn put_rule(program: &mut Program, rule: &Rule) -> Node {
    let otherwise = program.answer(rule.otherwise.value());
    rule.cases.iter().rev().fold(otherwise, |next, case| {
        let then = program.answer(case.then.value());
        case.when.iter().rev().fold(then, |yes, condition| {
            put_condition(program, condition, yes, next)
        })
    })
}

fn put_condition(program: &mut Program, condition: &Condition, yes: Node, no: Node) -> Node {
    match &condition.demand {
        Demand::Is(values) => put_member(program, condition, values, yes, no),
        Demand::IsNot(values) => put_member(program, condition, values, no, yes),
        Demand::WithoutBits(bits) => {
            let (high, low) = halves(*bits);
            let next = put_bits(program, condition.low(), low, yes, no);
            if condition.wide {
                put_bits(program, condition.high(), high, next, no)
            } else {
                next
            }
        }
    }
}

/// Goes on at `no` when the word at `offset` has one of `bits`.
fn put_bits(program: &mut Program, offset: u32, bits: u32, yes: Node, no: Node) -> Node {
    if bits == 0 {
        return yes;
    }
    let test = program.jump(Test::AnyBit, bits, no, yes);
    program.load(offset, test)
}

/// Goes on at `yes` when the masked argument is one of `values`.
fn put_member(
    program: &mut Program,
    condition: &Condition,
    values: &BTreeSet<u64>,
    yes: Node,
    no: Node,
) -> Node {
    let (high_mask, low_mask) = halves(condition.mask);
    let mut by_high: BTreeMap<u32, BTreeMap<u32, Node>> = BTreeMap::new();
    for value in values {
        let (high, low) = halves(*value);
        by_high.entry(high).or_default().insert(low, yes);
    }
    let mut nodes = BTreeMap::new();
    for (high, lows) in by_high {
        let member = tree::build(program, &lows, no);
        nodes.insert(high, put_word(program, condition.low(), low_mask, member));
    }
    if !condition.wide {
        // The rules have no value with a higher half here.
        return nodes.get(&0).copied().unwrap_or(no);
    }
    let high = tree::build(program, &nodes, no);
    put_word(program, condition.high(), high_mask, high)
}

/// Loads and masks a word for `next`.
fn put_word(program: &mut Program, offset: u32, mask: u32, next: Node) -> Node {
    let next = if mask == u32::MAX {
        next
    } else {
        program.and(mask, next)
    };
    program.load(offset, next)
}

impl Condition {
    /// Where the argument's lower half is. Little-endian: both architectures are.
    fn low(&self) -> u32 {
        ARGUMENTS + 8 * self.argument
    }

    fn high(&self) -> u32 {
        self.low() + 4
    }
}

/// The higher and the lower half.
fn halves(value: u64) -> (u32, u32) {
    let half = |value: u64| u32::try_from(value & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    (half(value >> 32), half(value))
}
