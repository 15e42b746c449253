//! Figures of other systems and of the reference that SoulBox was designed against. None of them was measured by this
//! program: each was found on another machine, by somebody else's method.

use super::table::Elsewhere;

/// What SoulBox was designed against.
const DESIGN: &str = "SoulBox's design document";
/// Its machine where it tells one.
const EIGHT: &str = "SoulBox's design document, 8 cores";
/// E2B's own server, on a machine with 2 cores.
const E2B: &str = "E2B, 2 cores";
/// The same with one option of its sockets changed.
const E2B_NO_DELAY: &str = "E2B with TCP_NODELAY, 2 cores";
/// ByteDance's SandboxFusion in its light isolation.
const FUSION: &str = "SandboxFusion lite, 2 cores";
/// bubblewrap for each request behind a small HTTP server.
const BUBBLEWRAP: &str = "bubblewrap server, 2 cores";

const fn of(value: &'static str, source: &'static str) -> Elsewhere {
    Elsewhere { value, source }
}

/// Python that says hello, in isolation of its own, one user. The design document does not say which average.
pub(in crate::cmd::bench) const HELLO: [Elsewhere; 4] = [
    of("85 ms", DESIGN),
    of("937 ms in a new context", E2B),
    of("167 ms", FUSION),
    of("16 ms", BUBBLEWRAP),
];

/// Runs of fibonacci(10) in a second, 10 to 1000 users.
pub(super) const FIBONACCI: [Elsewhere; 3] = [
    of("1,250-1,457 per second", EIGHT),
    of("2 per second", E2B),
    of("105 per second", BUBBLEWRAP),
];

/// The whole service's memory at its most.
pub(super) const PEAK: [Elsewhere; 1] = [of("1.2 GB", DESIGN)];

/// A cell in a context that is there.
pub(in crate::cmd::bench) const CELL: [Elsewhere; 2] =
    [of("48 ms", E2B), of("6.3 ms", E2B_NO_DELAY)];

/// Cells in a second over several contexts.
pub(in crate::cmd::bench) const CELLS: [Elsewhere; 1] = [of("190 per second", E2B)];

/// A new context.
pub(in crate::cmd::bench) const CONTEXT: [Elsewhere; 1] = [of("937 ms", E2B)];

/// A hundred contexts at once.
pub(in crate::cmd::bench) const CONTEXTS: [Elsewhere; 1] = [of("none of 100 came", E2B)];

/// Memory of a Python context.
pub(in crate::cmd::bench) const CONTEXT_MEMORY: [Elsewhere; 1] = [of("55 MB", E2B)];
