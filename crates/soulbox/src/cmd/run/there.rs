//! A run in a sandbox of a server.

use super::{Args, Job, failed};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::remote::Server;
use crate::remote::guest::{RemoteGuest, Used};
use crate::remote::wish;
use crate::signal::Stop;
use crate::terminal::Progress;
use soulbox_client::NewSandbox;
use soulbox_client::create::Made;
use soulbox_client::way::Way;
use soulbox_model::{ByteSize, Phases};
use soulbox_node::execute::{About, Report};
use soulbox_node::{MemoryKill, Usage};
use soulbox_settings::Settings;
use std::time::Duration;

/// How much longer than its run a sandbox lives, for files in and out. It is ended with the run; this is for a
/// command line that was killed.
const MARGIN: Duration = Duration::from_secs(600);

/// Who signals the end of a sandbox meanwhile.
const GONE: &str = "`soulbox events` tells what happened to it";

/// A server that makes the sandbox.
pub(super) struct There {
    server: Server,
    wish: NewSandbox,
}

impl There {
    /// What is asked of the server.
    pub(super) fn new(args: &Args, settings: &Settings) -> Result<Self, Failure> {
        if args.sandbox.has_mounts() {
            let what = "--mount is for sandboxes of this machine's own engine";
            return Err(Failure::new(Exit::USAGE, what)
                .help("copy with --file, or leave out --server (setting client.url)"));
        }
        let life = settings.sandbox.timeout.saturating_add(MARGIN);
        Ok(Self {
            server: args.server.server(settings)?,
            wish: NewSandbox {
                template: args.sandbox.template_name().map(str::to_owned),
                timeout: Some(life),
                ..wish::of(settings)
            },
        })
    }

    /// Makes the sandbox, runs the code in it, and ends it.
    pub(super) async fn run(&self, job: &Job) -> Result<Exit, Failure> {
        let stop = Stop::listen()?;
        let url = self.server.url();
        let progress = Progress::spinner(&format!("starting a sandbox on {url}"));
        // Waited for even when we are asked to stop: what the server makes is ours to end.
        let made = self.server.create(&self.wish).await?;
        drop(progress);
        let done = self.run_in(job, &made, &stop).await;
        match self.server.kill(&made.met.sandbox_id).await {
            Err(error) if !error.is_not_found() => {
                // The server ends it when its time is over.
                Failure::from(error).tell();
            }
            _ => {}
        }
        done
    }

    async fn run_in(&self, job: &Job, made: &Made, stop: &Stop) -> Result<Exit, Failure> {
        if job.settings.sandbox.require_limits && !made.not_enforced.is_empty() {
            let what = format!(
                "nothing limits {} on the server",
                made.not_enforced.join(", ")
            );
            return Err(Failure::new(Exit::HOST, what));
        }
        let guest = RemoteGuest {
            server: &self.server,
            id: made.met.sandbox_id.clone(),
            template: made.template.clone(),
            way: Way::to(&self.server, &made.met, &job.settings.agent)?,
        };
        let (ended, capture) = job.execute(&guest, None, stop).await;
        let used = guest.used().await;
        if let (Err(_), None, Some(cause)) = (&ended, &used, guest.end().await) {
            return Err(gone(&cause));
        }
        let used = used.unwrap_or_default();
        let report = Report::of(about(made, &used), &job.execution);
        let outcome = ended.map_err(|error| failed(&error, &job.execution))?;
        let usage = Usage {
            cpu: Duration::from_micros(used.cpu_us),
            peak_memory: ByteSize(used.peak_memory_bytes),
            oom_kills: used.oom_kills,
        };
        job.tell(&report, &outcome, usage, &capture)
    }
}

/// The sandbox ended before the code did, and not because of it.
fn gone(cause: &str) -> Failure {
    let exit = match cause {
        "expired" => Exit::TIMED_OUT,
        "killed" => Exit::KILLED,
        _ => Exit::SERVER,
    };
    let cause = cause.replace('_', " ");
    Failure::new(exit, format!("the sandbox ended: {cause}")).help(GONE)
}

fn about(made: &Made, used: &Used) -> About {
    let mut create = Phases::default();
    for phase in &made.phases {
        create.push(&phase.step, phase.us);
    }
    About {
        sandbox: made.met.sandbox_id.to_string(),
        template: made.template.clone(),
        isolation: made.isolation.clone(),
        not_enforced: made.not_enforced.clone(),
        create,
        memory: ByteSize(made.limits.memory_max_bytes),
        memory_kill: used.memory_kill.as_ref().map(|kill| MemoryKill {
            // Which one it was is nobody's question here.
            number: 0,
            process: kill.process.clone(),
            held: ByteSize(kill.held_bytes),
        }),
        adaptive: None,
    }
}
