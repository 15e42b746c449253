//! After a restart: taking over what lives, and telling how the rest ended.

use crate::control::{Control, StartError, end_event, event};
use crate::life::cause_of;
use crate::live::Live;
use soulbox_model::{
    EndCause, EventKind, Moment, SandboxEnd, SandboxId, SandboxRecord, SandboxState,
};
use soulbox_node::{EndedMeanwhile, Sandbox};
use std::collections::HashMap;
use std::sync::Arc;

impl Control {
    /// Brings the records and what runs together.
    pub(crate) async fn recover(self: &Arc<Self>) -> Result<(), StartError> {
        let adopted = self.node.adopted().into_iter();
        let mut running: HashMap<SandboxId, Sandbox> = adopted
            .map(|(sandbox, _)| (sandbox.id().clone(), sandbox))
            .collect();
        let ended = self.node.ended_meanwhile().await.into_iter();
        let ended: HashMap<SandboxId, EndedMeanwhile> =
            ended.map(|end| (end.id.clone(), end)).collect();
        for record in self.records.live().await? {
            match running.remove(&record.id) {
                Some(sandbox) => self.take_over(record, sandbox).await,
                None => self.note_end(record, &ended).await?,
            }
        }
        // Made by a server that died before its record was kept, so that nobody was told of them.
        for sandbox in running.into_values() {
            sandbox.destroy().await;
        }
        Ok(())
    }

    async fn take_over(self: &Arc<Self>, mut record: SandboxRecord, sandbox: Sandbox) {
        record.state = match *sandbox.paused().borrow() {
            true => SandboxState::Paused,
            false => SandboxState::Running,
        };
        let live = Arc::new(Live::new(record, sandbox));
        let adopted = event(EventKind::Adopted, "another server took it over");
        // On a full disk it is taken over all the same: who else would end it?
        if let Err(error) = self.records.change(&live.record(), &adopted).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(sandbox = %live.id(), error, "it was not recorded that it was taken over");
        }
        self.keep_time(&live).await;
        self.take_in(live).await;
    }

    async fn note_end(
        &self,
        mut record: SandboxRecord,
        ended: &HashMap<SandboxId, EndedMeanwhile>,
    ) -> Result<(), StartError> {
        let end = match ended.get(&record.id) {
            Some(end) => {
                let (cause, detail) = cause_of(end.how);
                SandboxEnd {
                    cause,
                    at: Moment::from(end.at),
                    detail: format!("{detail}, while there was no server"),
                }
            }
            None => SandboxEnd {
                cause: EndCause::Lost,
                at: Moment::now(),
                detail: "it was gone when the server started, and nobody saw its end".to_owned(),
            },
        };
        let told = end_event(&end);
        record.end(end);
        self.records.end(&record, None, &told).await?;
        Ok(())
    }
}
