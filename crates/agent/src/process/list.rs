//! `List`.

use crate::state::Agent;
use soulbox_wire::envd::process::{Empty, ListResponse, ProcessInfo};

/// Living processes as their starts asked for them.
pub(crate) fn list(agent: &Agent, Empty {}: Empty) -> ListResponse {
    let info = |process: &crate::process::record::Process| ProcessInfo {
        config: process.config.clone(),
        pid: process.number(),
        tag: process.tag.clone(),
    };
    ListResponse {
        processes: agent.processes.living().iter().map(|p| info(p)).collect(),
    }
}
