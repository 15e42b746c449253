//! Making a sandbox.

use crate::command::{CreateRequest, SandboxView};
use crate::control::{Control, event};
use crate::error::ControlError;
use crate::idempotency::{Claim, Held, Made, Pending};
use crate::live::Live;
use soulbox_model::{
    EndCause, EventKind, Moment, Phases, SandboxEnd, SandboxId, SandboxRecord, SandboxSpec,
    SandboxState, TeamId, TemplateId,
};
use soulbox_node::tree_source::TreeError;
use soulbox_node::{Birth, CreateError, Sandbox};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// When to come again if the machine has no place.
const RETRY: Duration = Duration::from_secs(2);

impl Control {
    /// Makes a sandbox, or tells of the one that the same request made before.
    pub(crate) async fn create_once(
        self: &Arc<Self>,
        team: &TeamId,
        mut request: CreateRequest,
    ) -> Result<SandboxView, ControlError> {
        let pending = match request.once.take() {
            None => None,
            Some(once) => match self.once.claim(team, once).await? {
                Claim::First(pending) => Some(pending),
                Claim::Made(Made::Sandbox { sandbox }) => {
                    if let Ok(live) = self.of(team, &sandbox) {
                        return Ok(self.view(&live));
                    }
                    let record = self.records.sandbox(team, &sandbox).await?;
                    return Ok(self.view_of(record, Phases::default()));
                }
                Claim::Made(_) => return Err(ControlError::KeyTaken),
            },
        };
        let live = self.create(team, request, pending).await?;
        Ok(self.view(&live))
    }

    /// Makes a sandbox; it is made and kept even if the caller goes away meanwhile.
    async fn create(
        self: &Arc<Self>,
        team: &TeamId,
        request: CreateRequest,
        pending: Option<Pending>,
    ) -> Result<Arc<Live>, ControlError> {
        if request.timeout.is_zero() {
            return Err(ControlError::invalid("timeout", "it must be at least 1 s"));
        }
        self.check_timeout(request.timeout)?;
        let place = self.admission.enter().await?;
        let (control, team) = (Arc::clone(self), team.clone());
        let making = tokio::spawn(async move {
            // Its place is taken until it is made: who asks and hangs up gets no further ones by that.
            let _place = place;
            control.make(team, request, pending).await
        });
        making.await.unwrap_or(Err(ControlError::Stopping))
    }

    async fn make(
        self: &Arc<Self>,
        team: TeamId,
        request: CreateRequest,
        pending: Option<Pending>,
    ) -> Result<Arc<Live>, ControlError> {
        let mut birth = Birth::default();
        birth.variables = variables(&birth.id, &request);
        let record = self.record(team, birth.id.clone(), &request);
        birth.deadline = Some(crate::life::deadline(&record));
        birth.team = Some(record.team.clone());
        self.place(&record)?;
        let sandbox = birth.id.clone();
        let held = pending.map(|pending| pending.makes(Made::Sandbox { sandbox }));
        let held = held.as_ref();
        let spec = SandboxSpec {
            template: request.template,
            isolation: request.isolation,
            limits: record.limits,
            network: request.network,
            mounts: Vec::new(),
        };
        // The record is kept while the sandbox is made: the disk's time is not added to the create's.
        let created = event(EventKind::Created, "");
        let make = self.node.create_as(spec, birth);
        let (made, kept) = tokio::join!(make, self.records.create(&record, &created, held));
        let (sandbox, created) = match (made, kept) {
            (Ok(sandbox), Ok(created)) => (sandbox, created),
            (made, kept) => return Err(self.undo(record, made, kept.err(), held).await),
        };
        let live = Arc::new(Live::new(record, sandbox));
        self.count_spawn(&live.record());
        self.take_in(Arc::clone(&live)).await;
        self.records.hub().tell(created);
        Ok(live)
    }

    pub(crate) fn record(
        &self,
        team: TeamId,
        id: SandboxId,
        request: &CreateRequest,
    ) -> SandboxRecord {
        let now = Moment::now();
        SandboxRecord {
            id,
            team,
            template: request.template.clone(),
            state: SandboxState::Running,
            started_at: now,
            end_at: now.plus(request.timeout),
            timeout: request.timeout,
            lifecycle: request.lifecycle,
            metadata: request.metadata.clone(),
            limits: request
                .limits
                .unwrap_or_else(|| self.limits_of(&request.template)),
            network: request.network,
            network_rules: request.network_rules.clone(),
            secure: request.secure,
            private_traffic: request.private_traffic,
            mask_host: request.mask_host.clone(),
            isolation: request.isolation,
            ended: None,
        }
    }

    /// Takes back what was made when the other half failed.
    async fn undo(
        &self,
        mut record: SandboxRecord,
        made: Result<Sandbox, CreateError>,
        kept: Option<ControlError>,
        held: Option<&Held>,
    ) -> ControlError {
        let template = record.template.to_string();
        let failed = match made {
            Ok(sandbox) => {
                sandbox.destroy().await;
                None
            }
            Err(error) => Some(error),
        };
        if let Some(error) = kept {
            return error;
        }
        let Some(error) = failed else {
            return ControlError::Stopping;
        };
        record.end(SandboxEnd {
            cause: EndCause::NotStarted,
            at: Moment::now(),
            detail: error.to_string(),
        });
        if let Err(error) = self.records.remove(&record, held).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(sandbox = %record.id, error, "the record of a failed create stays until the next start");
        }
        refused(error, template)
    }
}

/// The variables of every command: those that were given, and those by which programs know that they are in
/// a sandbox, under the names that E2B gives them.
pub(crate) fn variables(id: &SandboxId, request: &CreateRequest) -> BTreeMap<String, String> {
    let template = TemplateId::of_build(&request.template);
    let template = template.as_ref().map(TemplateId::as_str);
    let own = [
        ("E2B_SANDBOX", "true"),
        ("E2B_SANDBOX_ID", id.as_str()),
        (
            "E2B_TEMPLATE_ID",
            template.unwrap_or(request.template.as_str()),
        ),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut variables = BTreeMap::from(own);
    variables.extend(request.variables.clone());
    variables
}

/// What a failed create means for the one who asked.
pub(crate) fn refused(error: CreateError, template: String) -> ControlError {
    let busy = |reason: String| ControlError::Busy {
        reason,
        retry: RETRY,
    };
    match error {
        CreateError::Template(TreeError::Missing(_)) => ControlError::NoTemplate(template),
        CreateError::Limit(error) => ControlError::invalid("limits", error.to_string()),
        CreateError::Admission(error) => busy(error.to_string()),
        CreateError::Lease(error) => busy(error.to_string()),
        CreateError::NoInternet => {
            ControlError::invalid("allow_internet_access", error.to_string())
        }
        CreateError::Stopping => ControlError::Stopping,
        error => ControlError::Create(error),
    }
}
