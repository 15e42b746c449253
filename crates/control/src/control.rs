//! Who keeps the sandboxes of one node: takes commands, holds what lives, ends what is over.

use crate::admission::Admission;
use crate::arrivals;
use crate::command::{LogEntry, SandboxCommand, SandboxReply, SandboxView};
use crate::commands::{Archive, Books, Finisher};
use crate::error::ControlError;
use crate::hub::Happened;
use crate::idempotency::Idempotency;
use crate::keys::Keys;
use crate::life::follow;
use crate::list::{self, ListQuery, Page};
use crate::live::Live;
use crate::log::CommandLog;
use crate::records::Records;
use crate::run::Pasts;
use crate::samples::look;
use crate::template::Found;
use crate::templates::{self, Templates};
use crate::token::{NodeSecret, Purpose, SecretError};
use soulbox_model::{
    EndCause, Event, EventKind, Moment, SandboxEnd, SandboxId, SandboxRecord, SandboxState, TeamId,
    TemplateName,
};
use soulbox_node::builds::Builds;
use soulbox_node::template::TemplateStore;
use soulbox_node::{KindLevel, Node};
use soulbox_settings::Settings;
use soulbox_store::{StateStore, StoreError};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};

/// How often what ended long ago is forgotten.
const TIDY: Duration = Duration::from_secs(600);

/// A control that cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Tokens cannot be derived.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The records cannot be read.
    #[error("cannot read the records")]
    Store(#[from] StoreError),
    /// The log of commands has no thread.
    #[error("cannot start the thread of the log of commands")]
    Log(#[source] std::io::Error),
}

/// The life of all sandboxes of one node.
pub struct Control {
    pub(crate) node: Arc<Node>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) records: Records,
    pub(crate) admission: Admission,
    pub(crate) runs: Admission,
    /// What compilers made, unless nothing of it is kept.
    pub(crate) builds: Option<Arc<Builds>>,
    pub(crate) templates: TemplateStore,
    /// Those that clients build.
    pub(crate) made: Templates,
    pub(crate) once: Arc<Idempotency>,
    pub(crate) archive: Archive,
    /// What runs with adaptive limits used.
    pub(crate) pasts: Pasts,
    pub(crate) books: Arc<Books>,
    log: CommandLog,
    secret: NodeSecret,
    keys: Keys,
    live: RwLock<HashMap<SandboxId, Arc<Live>>>,
    being_built: RwLock<HashSet<TemplateName>>,
    /// Told when a sandbox lives no more.
    fewer: Notify,
}

impl Control {
    /// Takes over what the records say, and what still runs.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        node: Arc<Node>,
        store: Arc<dyn StateStore>,
    ) -> Result<Arc<Self>, StartError> {
        let settings = Arc::clone(node.settings());
        let server = &settings.server;
        let secret = NodeSecret::open(&settings.paths.data_dir)?;
        let once = Idempotency::new(Arc::clone(&store), &settings.commands);
        let pasts = Pasts::new(Arc::clone(&store), &settings.execute);
        let archive = Archive::new(Arc::clone(&store), &settings.paths.data_dir);
        let room = settings.commands.log.bytes();
        let log = CommandLog::start(archive.directory(), room).map_err(StartError::Log)?;
        let (finished, ends) = mpsc::unbounded_channel();
        let books = Arc::new(Books::new(finished, settings.commands.output.bytes()));
        let finisher = Finisher::new(archive.clone(), settings.commands.clone(), &books);
        tokio::spawn(finisher.run(ends));
        let records = Records::new(store);
        let keys = Keys::load(&records).await?;
        let made = Templates::load(&records, &settings).await?;
        let admission = Admission::new(
            "server",
            server.creates as usize,
            server.queue as usize,
            server.queue_wait,
        );
        let execute = &settings.execute;
        let runs = Admission::new(
            "execute",
            execute.at_once as usize,
            execute.queue as usize,
            execute.queue_wait,
        );
        let control = Arc::new(Self {
            builds: Builds::of(&settings),
            admission,
            runs,
            templates: TemplateStore::new(&settings.paths.data_dir),
            made,
            once,
            archive,
            pasts,
            books,
            log,
            node,
            settings,
            records,
            secret,
            keys,
            live: RwLock::default(),
            being_built: RwLock::default(),
            fewer: Notify::new(),
        });
        let lived = control.records.live().await?;
        let lived: Vec<_> = lived.into_iter().map(|record| record.id).collect();
        control.recover().await?;
        control.recover_commands(&lived).await?;
        control.once.sweep().await?;
        control.pasts.migrate().await?;
        tokio::spawn(tidy(Arc::downgrade(&control)));
        tokio::spawn(look(Arc::downgrade(&control)));
        if control.settings.pool.adaptive {
            tokio::spawn(arrivals::follow(Arc::downgrade(&control)));
        }
        Ok(control)
    }

    /// What the server was set to.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// The engine.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// The pools that creates of a team are served from: its own, and those that are anybody's.
    pub fn pools(&self, team: &TeamId) -> Vec<KindLevel> {
        let mut kinds = self.node.kinds();
        kinds.retain(|kind| kind.team.as_ref().is_none_or(|own| own == team));
        kinds
    }

    /// The keys of the programming interface.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The records.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Where commands are told to that others start than this.
    pub fn log(&self) -> &CommandLog {
        &self.log
    }

    /// The node's secret.
    pub fn secret(&self) -> &NodeSecret {
        &self.secret
    }

    /// Does what a team asks.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn execute(
        self: &Arc<Self>,
        team: &TeamId,
        command: SandboxCommand,
    ) -> Result<SandboxReply, ControlError> {
        match command {
            SandboxCommand::Create(request) => {
                let began = Instant::now();
                let made = self.create_once(team, *request).await;
                self.records.metrics().created(&made, began.elapsed());
                Ok(SandboxReply::Sandbox(Box::new(made?)))
            }
            SandboxCommand::Get(id) => {
                let live = self.of(team, &id)?;
                Ok(SandboxReply::Sandbox(Box::new(self.view(&live))))
            }
            SandboxCommand::List(query) => Ok(SandboxReply::Page(self.list(team, &query))),
            SandboxCommand::Kill(id) => {
                let live = self.of(team, &id)?;
                self.end(&live, EndCause::Killed, "a request asked for it")
                    .await;
                Ok(SandboxReply::Done)
            }
            SandboxCommand::SetTimeout(id, timeout) => {
                let live = self.of(team, &id)?;
                self.set_timeout(&live, timeout).await?;
                Ok(SandboxReply::Done)
            }
            SandboxCommand::Extend(id, timeout) => {
                let live = self.of(team, &id)?;
                self.extend(&live, timeout).await?;
                Ok(SandboxReply::Done)
            }
            SandboxCommand::Connect(id, timeout) => self.connect(team, &id, timeout).await,
            SandboxCommand::Pause(id) => {
                let live = self.of(team, &id)?;
                self.pause(&live, "a request asked for it").await?;
                Ok(SandboxReply::Done)
            }
            SandboxCommand::SetNetwork(id, rules) => {
                let live = self.of(team, &id)?;
                live.lock().network_rules = rules;
                self.keep(&live, event(EventKind::NetworkSet, "")).await?;
                Ok(SandboxReply::Done)
            }
            SandboxCommand::Usage(id) => Ok(SandboxReply::Usage(self.used(team, &id).await?)),
            SandboxCommand::KillProcesses(id) => {
                self.kill_processes(team, &id).await?;
                Ok(SandboxReply::Done)
            }
            SandboxCommand::Events(id) => {
                let events = self.events_of(team, &id).await?;
                Ok(SandboxReply::Events(events))
            }
            SandboxCommand::Log(id) => Ok(SandboxReply::Log(self.read_log(team, &id).await?)),
            SandboxCommand::Samples(id, from, to) => {
                let samples = self.samples(team, &id, from, to)?;
                Ok(SandboxReply::Samples(samples))
            }
            SandboxCommand::Latest(ids) => Ok(SandboxReply::Latest(self.latest(team, &ids))),
            SandboxCommand::Ended(limit) => {
                let ended = self.ended_of(team, limit).await?;
                Ok(SandboxReply::Ended(ended))
            }
            command => self.execute_on_command(team, command).await,
        }
    }

    /// What happened to a sandbox and what was started in it, the oldest first.
    async fn read_log(&self, team: &TeamId, id: &SandboxId) -> Result<Vec<LogEntry>, ControlError> {
        let events = self.events_of(team, id).await?;
        let events = events
            .into_iter()
            .map(|happened| LogEntry::Event(happened.event));
        let commands = self.log.read(id).await;
        let mut all: Vec<_> = events
            .chain(commands.into_iter().map(LogEntry::Command))
            .collect();
        // Of one moment, what is in order stays so.
        all.sort_by_key(LogEntry::at);
        Ok(all)
    }

    /// What happened to a sandbox, the oldest first.
    async fn events_of(
        &self,
        team: &TeamId,
        id: &SandboxId,
    ) -> Result<Vec<Happened>, ControlError> {
        let live = self.of(team, id).ok();
        // Of a run nothing is kept before its end.
        match live.and_then(|live| live.unkept()) {
            Some(created) => Ok(vec![created]),
            None => self.records.events(team, id).await,
        }
    }

    pub(crate) fn is_being_built(&self, name: &TemplateName) -> bool {
        let built = self
            .being_built
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        built.contains(name)
    }

    pub(crate) fn set_being_built(&self, name: TemplateName, being_built: bool) {
        let mut built = self
            .being_built
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match being_built {
            true => built.insert(name),
            false => built.remove(&name),
        };
    }

    /// A live sandbox, whosever it is: for traffic, which brings a token instead of a key.
    pub fn find(&self, id: &SandboxId) -> Option<Arc<Live>> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.get(id).cloned()
    }

    /// All live sandboxes.
    pub fn all(&self) -> Vec<Arc<Live>> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.values().cloned().collect()
    }

    /// A live sandbox of a team.
    ///
    /// # Errors
    /// [`ControlError::NoSandbox`].
    pub fn of(&self, team: &TeamId, id: &SandboxId) -> Result<Arc<Live>, ControlError> {
        self.find(id)
            .filter(|live| live.lock().team == *team)
            .ok_or_else(|| ControlError::NoSandbox(id.to_string()))
    }

    pub(crate) fn view(&self, live: &Live) -> SandboxView {
        self.view_of(live.record(), live.phases().clone())
    }

    pub(crate) fn view_of(
        &self,
        record: SandboxRecord,
        phases: soulbox_model::Phases,
    ) -> SandboxView {
        let token = |purpose| self.secret.token(purpose, &record.id);
        SandboxView {
            access_token: record.secure.then(|| token(Purpose::Agent)),
            traffic_token: record.private_traffic.then(|| token(Purpose::Traffic)),
            record,
            phases,
        }
    }

    fn list(&self, team: &TeamId, query: &ListQuery) -> Page {
        let all = self.all();
        let records = all.iter().map(|live| live.record());
        let records = records.filter(|record| record.team == *team).collect();
        let mut query = query.clone();
        // By the name that they were asked for by: another one may stand in for it.
        if let Some(text) = query.template.take() {
            let found = self.find_template(team, &text).ok();
            query.template = Some(found.map_or(text, |found| match found {
                Found::Made(entry) => entry.id.to_string(),
                Found::OfServer(name) => name.to_string(),
            }));
        }
        let (chosen, next) = list::choose(&query, records);
        let view = |record| self.view_of(record, soulbox_model::Phases::default());
        Page {
            sandboxes: chosen.into_iter().map(view).collect(),
            next,
        }
    }

    async fn set_timeout(&self, live: &Live, timeout: Duration) -> Result<(), ControlError> {
        self.check_timeout(timeout)?;
        live.lock().set_timeout(Moment::now(), timeout);
        live.time_changed.notify_one();
        self.keep_time(live).await;
        self.keep(live, event(EventKind::TimeoutSet, &format!("{timeout:?}")))
            .await
    }

    async fn extend(&self, live: &Live, timeout: Duration) -> Result<(), ControlError> {
        self.check_timeout(timeout)?;
        if !live.lock().extend(Moment::now(), timeout) {
            return Ok(());
        }
        live.time_changed.notify_one();
        self.keep_time(live).await;
        self.keep(live, event(EventKind::TimeoutSet, &format!("{timeout:?}")))
            .await
    }

    pub(crate) fn check_timeout(&self, timeout: Duration) -> Result<(), ControlError> {
        let most = self.settings.server.max_timeout;
        if timeout > most {
            let reason = format!("{timeout:?} is more than {most:?} (setting server.max_timeout)");
            return Err(ControlError::invalid("timeout", reason));
        }
        Ok(())
    }

    async fn connect(
        self: &Arc<Self>,
        team: &TeamId,
        id: &SandboxId,
        timeout: Duration,
    ) -> Result<SandboxReply, ControlError> {
        let live = self.of(team, id)?;
        self.check_timeout(timeout)?;
        let paused = live.lock().state == SandboxState::Paused;
        if paused
            && self
                .resume(&live, timeout, "a request asked for it")
                .await?
        {
            return Ok(SandboxReply::Resumed(Box::new(self.view(&live))));
        }
        self.extend(&live, timeout).await?;
        Ok(SandboxReply::Sandbox(Box::new(self.view(&live))))
    }

    /// Keeps a changed record and what happened.
    pub(crate) async fn keep(&self, live: &Live, event: Event) -> Result<(), ControlError> {
        let record = live.record();
        self.records.change(&record, &event).await?;
        Ok(())
    }

    /// Keeps something that happened and changed nothing of the record.
    pub(crate) async fn note(&self, live: &Live, event: Event) -> Result<(), ControlError> {
        let (team, id) = {
            let record = live.lock();
            (record.team.clone(), record.id.clone())
        };
        self.records.note(&team, &id, &event).await?;
        Ok(())
    }

    /// Takes in a sandbox that lives from now on, and follows its time and its end.
    pub(crate) async fn take_in(self: &Arc<Self>, live: Arc<Live>) {
        let Some(sandbox) = live.sandbox().await else {
            return;
        };
        let end = sandbox.end();
        drop(sandbox);
        let mut all = self.live.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(live.id(), Arc::clone(&live));
        drop(all);
        tokio::spawn(follow(Arc::downgrade(self), live, end));
    }

    /// Lets go of a sandbox that lives no more.
    pub(crate) fn forget(&self, id: &SandboxId) {
        let mut all = self.live.write().unwrap_or_else(PoisonError::into_inner);
        all.remove(id);
        drop(all);
        self.fewer.notify_one();
    }

    /// Lets nobody in any more; what lives goes on.
    pub fn close(&self) {
        self.admission.close();
        self.runs.close();
    }

    /// Waits until no sandbox lives any more.
    pub async fn drained(&self) {
        while !self.all().is_empty() {
            self.fewer.notified().await;
        }
    }

    /// Stops: lets nobody in and ends what lives.
    pub async fn stop(self: &Arc<Self>) {
        self.close();
        self.stop_builds();
        let ends = self.all().into_iter().map(|live| {
            let control = Arc::clone(self);
            tokio::spawn(async move {
                control
                    .end(&live, EndCause::ServerStopped, "the server was stopped")
                    .await;
            })
        });
        for end in ends.collect::<Vec<_>>() {
            let _ = end.await;
        }
    }
}

/// Forgets, now and then, what ended long ago.
async fn tidy(control: Weak<Control>) {
    while let Some(control) = control.upgrade() {
        let keep = control.settings.server.keep_ended as usize;
        if let Err(error) = control.records.prune(keep).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "records of ended sandboxes were not removed");
        }
        let swept = async {
            control.archive.sweep().await?;
            control.once.sweep().await
        };
        if let Err(error) = swept.await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "old commands and idempotency keys were not removed");
        }
        templates::sweep(&control).await;
        drop(control);
        tokio::time::sleep(TIDY).await;
    }
}

/// Something that happened now.
pub(crate) fn event(kind: EventKind, detail: &str) -> Event {
    Event {
        at: Moment::now(),
        kind,
        cause: None,
        detail: detail.to_owned(),
    }
}

/// An end, as an event.
pub(crate) fn end_event(end: &SandboxEnd) -> Event {
    Event {
        at: end.at,
        kind: EventKind::Ended,
        cause: Some(end.cause),
        detail: end.detail.clone(),
    }
}
