//! Where a sandbox goes. There is one node; the scheduler decides all the same, so that several are no other
//! way.

use crate::control::Control;
use crate::error::ControlError;
use soulbox_model::{Isolation, SandboxRecord, TemplateName};
use soulbox_scheduler::{Ask, Evaluation, Node, NodeId, Resources, View};
use std::time::Duration;

/// The name of the node that this program is.
const HERE: &str = "local";

/// When to come again if there is no room.
const RETRY: Duration = Duration::from_secs(2);

impl Control {
    /// Finds a place for a sandbox.
    ///
    /// # Errors
    /// [`ControlError::Busy`] when there is none.
    pub(crate) fn place(&self, record: &SandboxRecord) -> Result<NodeId, ControlError> {
        let evaluation = Evaluation {
            id: record.id.to_string(),
            asks: vec![Ask {
                resources: Resources::of(&record.limits),
                isolation: record.isolation,
                template: record.template.clone(),
                bound_to: None,
                failed_on: Vec::new(),
            }],
        };
        let plan = soulbox_scheduler::plan(&self.nodes(&record.template), &evaluation);
        match plan.unplaced.first() {
            Some(unplaced) => Err(ControlError::Busy {
                reason: unplaced.to_string(),
                retry: RETRY,
            }),
            None => plan
                .allocations
                .into_iter()
                .next()
                .map(|allocation| allocation.node)
                .ok_or(ControlError::Stopping),
        }
    }

    fn nodes(&self, template: &TemplateName) -> View {
        let all = self.all();
        let taken = all.iter().map(|live| Resources::of(&live.lock().limits));
        let here = Node {
            id: NodeId(HERE.to_owned()),
            ready: true,
            total: Resources {
                memory: self.settings.node.promised_memory.bytes(),
                sandboxes: u64::from(self.node.most_sandboxes()),
                ..Resources::default()
            },
            used: taken.fold(Resources::default(), Resources::and),
            isolation: vec![Isolation::Namespace],
            templates: self
                .templates
                .contains(template)
                .then(|| template.clone())
                .into_iter()
                .collect(),
        };
        View { nodes: vec![here] }
    }
}
