//! A binary search tree over ranges of a 32-bit word.
//!
//! A list of comparisons would cost as many instructions as there are values, and Linux pays for
//! each: it runs the filter once for every call's number when the filter is loaded, to learn which
//! calls are always allowed.

use super::program::{Node, Program, Test};
use std::collections::{BTreeMap, HashMap};

/// Where the word leads from `first` up to the next range's `first`.
#[derive(Debug, Clone, Copy)]
struct Range {
    first: u32,
    node: Node,
}

/// Builds the decision: `nodes` for the words named there, `otherwise` for all others.
pub(crate) fn build(program: &mut Program, nodes: &BTreeMap<u32, Node>, otherwise: Node) -> Node {
    let ranges = ranges(nodes, otherwise);
    let mut planner = Planner {
        ranges: &ranges,
        known: HashMap::new(),
    };
    planner.emit(program, 0, ranges.len())
}

/// The ranges in order; neighbours lead to different nodes.
fn ranges(nodes: &BTreeMap<u32, Node>, otherwise: Node) -> Vec<Range> {
    let mut ranges = vec![Range {
        first: 0,
        node: otherwise,
    }];
    let mut put = |first: u32, node: Node| match ranges.last_mut() {
        Some(last) if last.first == first => last.node = node,
        _ => ranges.push(Range { first, node }),
    };
    for (word, node) in nodes {
        put(*word, *node);
        if let Some(next) = word.checked_add(1) {
            put(next, otherwise);
        }
    }
    ranges.dedup_by_key(|range| range.node);
    ranges
}

/// What a part of the tree costs: instructions first, then comparisons on the longest way.
type Cost = (usize, usize);

/// How a part of the ranges is told apart.
#[derive(Debug, Clone, Copy)]
enum Plan {
    /// One range only.
    Leaf,
    /// One comparison: below this range, or at it and above.
    Split(usize),
    /// All lead to this node, except a few single words, each with a comparison of its own.
    /// It tells two ranges apart with one instruction, where a split takes two.
    Single(Node),
}

/// More single words in a row than this would make the longest way longer than splits do.
const SINGLES: usize = 3;

/// How far from the middle splits are tried.
const WINDOW: usize = 4;

struct Planner<'a> {
    ranges: &'a [Range],
    known: HashMap<(usize, usize), (Cost, Plan)>,
}

impl Planner<'_> {
    /// Puts the ranges from `start` to before `end` into the program.
    fn emit(&mut self, program: &mut Program, start: usize, end: usize) -> Node {
        match self.plan(start, end).1 {
            Plan::Leaf => self.ranges[start].node,
            Plan::Split(at) => {
                let above = self.emit(program, at, end);
                let below = self.emit(program, start, at);
                program.jump(Test::AtLeast, self.ranges[at].first, above, below)
            }
            Plan::Single(usual) => {
                let odd = self.ranges[start..end]
                    .iter()
                    .rev()
                    .filter(|r| r.node != usual);
                odd.fold(usual, |next, range| {
                    program.jump(Test::Equal, range.first, range.node, next)
                })
            }
        }
    }

    fn plan(&mut self, start: usize, end: usize) -> (Cost, Plan) {
        if end - start == 1 {
            return ((0, 0), Plan::Leaf);
        }
        if let Some(plan) = self.known.get(&(start, end)) {
            return *plan;
        }
        let middle = start.midpoint(end);
        let splits = middle.saturating_sub(WINDOW).max(start + 1)..(middle + WINDOW + 1).min(end);
        let mut best = ((usize::MAX, usize::MAX), Plan::Leaf);
        for at in splits {
            let ((below, low), (above, high)) = (self.plan(start, at).0, self.plan(at, end).0);
            let cost = (below + above + 1, low.max(high) + 1);
            if cost < best.0 {
                best = (cost, Plan::Split(at));
            }
        }
        for usual in [self.ranges[start].node, self.ranges[start + 1].node] {
            let single = self.singles(start, end, usual);
            if let Some(count) = single.filter(|count| (*count, *count) < best.0) {
                best = ((count, count), Plan::Single(usual));
            }
        }
        self.known.insert((start, end), best);
        best
    }

    /// How many ranges do not lead to `usual`, if they are few and of one word each.
    fn singles(&self, start: usize, end: usize, usual: Node) -> Option<usize> {
        let odd = (start..end).filter(|at| self.ranges[*at].node != usual);
        let count = odd.clone().count();
        let is_single = |at: usize| match self.ranges.get(at + 1) {
            Some(next) => next.first - self.ranges[at].first == 1,
            None => self.ranges[at].first == u32::MAX,
        };
        (count <= SINGLES && odd.clone().all(is_single)).then_some(count)
    }
}
