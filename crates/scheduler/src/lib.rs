//! Where a sandbox goes. Pure: a [`View`] of the nodes and an [`Evaluation`] of what is wanted go in, a
//! [`Plan`] comes out. There is no clock here, no chance and no I/O, so that the same question always has the
//! same answer, and a million of them run in a test.
//!
//! ```text
//!   view ──┐
//!          ├─▶ feasible nodes ─▶ scored, in one order ─▶ allocations (and why others were not made)
//!  asks ───┘        ▲                                        │
//!                   └──────── what was just taken ◀──────────┘
//! ```
//!
//! | What | File |
//! |---|---|
//! | what a node has, and what of it is taken | [`view`] |
//! | what is wanted | [`evaluation`] |
//! | which nodes can, and why others cannot | [`feasibility`] |
//! | which of them is best | [`score`] |
//! | all of it together | [`plan`] |
//! | how many of a kind are to wait | [`demand`] |
//! | limits for a run, from runs before | [`proposal`] |
//! | how many will be asked for | [`forecast`] |
//! | both, tried on arrivals | [`replay`] |

pub mod demand;
pub mod evaluation;
pub mod feasibility;
pub mod forecast;
pub mod plan;
pub mod proposal;
pub mod replay;
pub mod score;
pub mod view;

pub use demand::{Bounds, Demand};
pub use evaluation::{Ask, Evaluation};
pub use feasibility::Obstacle;
pub use forecast::{Forecast, History, Minute};
pub use plan::{Allocation, Plan, Unplaced, plan};
pub use replay::{Played, Policy, play};
pub use view::{Node, NodeId, Resources, View};
