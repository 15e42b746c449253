//! Classic BPF programs, put together from their end to their beginning.
//!
//! Jumps of classic BPF lead forward only and, when they depend on something, no further than
//! 255 instructions. Built from the end, every target stands already when a jump to it is made,
//! so its distance is known; where it is too long, an instruction that leads on is put in between.

use std::collections::HashMap;

/// One instruction, as Linux's `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Instruction {
    pub(crate) code: u16,
    pub(crate) jt: u8,
    pub(crate) jf: u8,
    pub(crate) k: u32,
}

// Linux: include/uapi/linux/bpf_common.h.
/// Load the 32-bit word at byte `k` of the call's description.
pub(crate) const LOAD: u16 = 0x20;
/// Keep the bits of `k`.
pub(crate) const AND: u16 = 0x54;
/// Skip `k` instructions.
pub(crate) const GO: u16 = 0x05;
/// End with the answer `k`.
pub(crate) const ANSWER: u16 = 0x06;

/// What a jump depends on. The values are the instructions' codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    /// The loaded word is `k`.
    Equal = 0x15,
    /// The loaded word is `k` or more, without sign.
    AtLeast = 0x35,
    /// The loaded word has one of the bits of `k`.
    AnyBit = 0x45,
}

/// An instruction that stands already, counted from the program's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Node(usize);

/// A program of which the end stands.
#[derive(Debug, Default)]
pub(crate) struct Program {
    reversed: Vec<Instruction>,
    answers: HashMap<u32, Node>,
}

/// The longest way of a jump that depends on something: its field has 8 bits.
const FAR: usize = u8::MAX as usize;

impl Program {
    /// Ends with `value`. The same value gives the same node.
    pub(crate) fn answer(&mut self, value: u32) -> Node {
        if let Some(node) = self.answers.get(&value) {
            return *node;
        }
        let node = self.push(ANSWER, 0, 0, value);
        self.answers.insert(value, node);
        node
    }

    /// Loads a word and goes on at `next`.
    pub(crate) fn load(&mut self, offset: u32, next: Node) -> Node {
        self.lead_to(next);
        self.push(LOAD, 0, 0, offset)
    }

    /// Masks the loaded word and goes on at `next`.
    pub(crate) fn and(&mut self, mask: u32, next: Node) -> Node {
        self.lead_to(next);
        self.push(AND, 0, 0, mask)
    }

    /// Goes on at `yes` or at `no`.
    pub(crate) fn jump(&mut self, test: Test, k: u32, mut yes: Node, mut no: Node) -> Node {
        if yes == no {
            return yes;
        }
        loop {
            let (jt, jf) = (self.distance(yes), self.distance(no));
            match (u8::try_from(jt), u8::try_from(jf)) {
                (Ok(jt), Ok(jf)) => return self.push(test as u16, jt, jf, k),
                _ if jt > FAR => yes = self.bring_near(yes),
                _ => no = self.bring_near(no),
            }
        }
    }

    /// The program, beginning with what was put on last.
    pub(crate) fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }

    /// How many instructions lie between the next one and `node`.
    fn distance(&self, node: Node) -> usize {
        self.reversed.len() - node.0 - 1
    }

    /// Makes `node` what the next instruction runs into.
    fn lead_to(&mut self, node: Node) {
        if self.distance(node) > 0 {
            self.bring_near(node);
        }
    }

    /// A node right here that does what `node` does.
    fn bring_near(&mut self, node: Node) -> Node {
        match self.reversed[node.0] {
            Instruction {
                code: ANSWER, k, ..
            } => self.push(ANSWER, 0, 0, k),
            _ => {
                // A program has 4096 instructions at most; `filter` checks it at the end.
                let distance = u32::try_from(self.distance(node)).unwrap_or(u32::MAX);
                self.push(GO, 0, 0, distance)
            }
        }
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Node {
        self.reversed.push(Instruction { code, jt, jf, k });
        Node(self.reversed.len() - 1)
    }
}
