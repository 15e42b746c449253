//! `soulbox serve`: the server.

mod base;
mod credentials;

pub(crate) use credentials::Credentials;

use crate::cli::Global;
use crate::engine;
use crate::environment::{self, Environment};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::signal::Stop;
use crate::terminal;
use soulbox_control::Control;
use soulbox_gateway::Server;
use soulbox_model::ApiKey;
use soulbox_settings::{Flag, Origin, Settings, Source as _};
use soulbox_store::SqliteStore;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const EXAMPLES: &str = "\
Examples:
  soulbox serve
  soulbox serve --listen 127.0.0.1:3000 --data-dir /srv/soulbox
  soulbox serve --allow-host-template
  SOULBOX_API_KEY=$(cat key) soulbox serve

Then, in the shell of the client:
  eval \"$(soulbox env)\"";

/// The variable that fixes the key.
const KEY: &str = "SOULBOX_API_KEY";

/// Flags of `soulbox serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where it listens [default: 127.0.0.1:3000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Where it listens for TLS
    #[arg(long, value_name = "ADDRESS:PORT")]
    tls_listen: Option<String>,
    /// The name below which sandboxes have host names
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
    /// Let the template host stand in for base
    #[arg(long)]
    allow_host_template: bool,
    /// Build the template of E2B's code interpreter, if it is missing
    #[arg(long)]
    code_interpreter: bool,
    /// End all sandboxes when the server stops, instead of leaving them to the next one
    #[arg(long)]
    end_on_stop: bool,
    /// Take no more creates when told to stop, and stop when the last sandbox has ended
    #[arg(long)]
    drain: bool,
    /// Accept the key in this file, instead of making one
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
}

impl Args {
    fn flags(&self) -> Vec<Flag> {
        let texts = [
            ("server.listen", "--listen", &self.listen),
            ("server.tls_listen", "--tls-listen", &self.tls_listen),
            ("server.domain", "--domain", &self.domain),
        ];
        let given = |(key, flag, value): (_, _, &Option<String>)| {
            value.clone().map(|value| Flag { key, flag, value })
        };
        let switches = [
            (
                "server.allow_host_template",
                "--allow-host-template",
                self.allow_host_template,
            ),
            (
                "server.code_interpreter",
                "--code-interpreter",
                self.code_interpreter,
            ),
            ("server.end_on_stop", "--end-on-stop", self.end_on_stop),
            ("server.drain_sandboxes", "--drain", self.drain),
        ];
        let switched = |(key, flag, on): (_, _, bool)| {
            on.then(|| Flag {
                key,
                flag,
                value: "true".to_owned(),
            })
        };
        let texts = texts.into_iter().filter_map(given);
        texts
            .chain(switches.into_iter().filter_map(switched))
            .collect()
    }
}

/// Serves until it is told to stop.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let mut settings = global.settings(args.flags())?;
    keep_some_ready(&mut settings);
    fit_disks(&mut settings);
    let fixed = fixed_key(args)?;
    let runtime = engine::server_runtime()?;
    let served = runtime.block_on(serve(settings, fixed));
    runtime.shutdown_background();
    served
}

/// Sandboxes that a server keeps ready that was told nothing.
const PARKED: u32 = 8;

/// Keeps sandboxes ready where nobody said how many.
fn keep_some_ready(settings: &mut Settings) {
    if !is_told(settings, "pool.parked") {
        settings.pool.parked = PARKED;
    }
}

/// Lets the sandboxes of an ordinary user write to memory, where nobody asked for a disk: only root can limit one.
fn fit_disks(settings: &mut Settings) {
    if environment::user_id() != 0 && !is_told(settings, "sandbox.disk") {
        engine::keep_in_memory(settings);
    }
}

/// Whether somebody chose a setting.
fn is_told(settings: &Settings, key: &str) -> bool {
    let mut entries = settings.entries.iter();
    entries.any(|entry| entry.key == key && entry.origin != Origin::Default)
}

/// The key that the operator fixed: in a file or a variable, never in an argument, which everybody on the
/// machine can read.
fn fixed_key(args: &Args) -> Result<Option<ApiKey>, Failure> {
    let (text, from) = match &args.api_key_file {
        Some(path) => (Some(read(path)?), path.display().to_string()),
        None => {
            let variable = Environment.variable(KEY).map(|text| text.into_string());
            let text = variable.map(|text| text.unwrap_or_default());
            (text, format!("the variable {KEY}"))
        }
    };
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    ApiKey::given(text.trim()).map(Some).ok_or_else(|| {
        Failure::new(Exit::USAGE, format!("the key of {from} cannot be one"))
            .help("a key has up to 256 visible ASCII characters, without spaces")
    })
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        Failure::new(
            Exit::NOT_FOUND,
            format!("cannot read the key file {}", path.display()),
        )
        .because(&error)
    })
}

async fn serve(settings: Settings, fixed: Option<ApiKey>) -> Result<Exit, Failure> {
    let stop = Stop::listen()?;
    terminal::log(&settings.log);
    // Before the engine: it finds out whether another server has this data directory.
    let store = open_store(&settings).await?;
    let served = with_store(settings, fixed, &stop, &store).await;
    store.close().await;
    served.map(|()| Exit::SUCCESS)
}

async fn open_store(settings: &Settings) -> Result<Arc<SqliteStore>, Failure> {
    let directory = settings.paths.data_dir.join("store");
    let opened = SqliteStore::open(&directory, &settings.store).await;
    opened
        .map(Arc::new)
        .map_err(|error| Failure::of(Exit::HOST, &error))
}

async fn with_store(
    settings: Settings,
    fixed: Option<ApiKey>,
    stop: &Stop,
    store: &Arc<SqliteStore>,
) -> Result<(), Failure> {
    let ends = settings.server.end_on_stop;
    let node = engine::start_lasting(settings).await?;
    let started = Control::start(Arc::clone(&node), Arc::clone(store) as _).await;
    let served = match started {
        Ok(control) => {
            let served = answer(&control, fixed, stop).await;
            control.close();
            if ends {
                control.stop().await;
            }
            control.settle_commands().await;
            served.map(|()| control.all().len())
        }
        Err(error) => Err(Failure::of(Exit::HOST, &error)),
    };
    if ends {
        node.stop().await;
    } else {
        node.leave().await;
    }
    let left = served?;
    if left > 0 {
        terminal::warn(&format!(
            "note: {left} sandboxes go on until their time is over; `soulbox serve` takes them over"
        ));
    }
    Ok(())
}

async fn answer(control: &Arc<Control>, fixed: Option<ApiKey>, stop: &Stop) -> Result<(), Failure> {
    let server = Server::listen(Arc::clone(control)).await.map_err(|error| {
        Failure::of(Exit::HOST, &error)
            .help("choose another port: --listen 127.0.0.1:0 takes a free one")
    })?;
    let address = server
        .address()
        .map_err(|error| Failure::of(Exit::HOST, &error))?;
    let credentials = credentials::settle(control, fixed, address, server.domain()).await?;
    let base = base::provide(control, stop);
    tell(control.settings(), address, server.domain(), &credentials)?;
    let drains = control.settings().server.drain_sandboxes;
    let asked = async {
        stop.wait().await;
        control.close();
        if drains {
            control.drained().await;
        }
    };
    server.run(asked).await;
    base.await;
    Ok(())
}

fn tell(
    settings: &Settings,
    address: SocketAddr,
    domain: Option<&str>,
    credentials: &Credentials,
) -> Result<(), Failure> {
    terminal::print(&format!("SoulBox listens on http://{address}\n"))?;
    if let Some(domain) = domain {
        terminal::print(&format!(
            "and on https://{domain}, sandboxes' ports on https://<port>-<id>.{domain}\n"
        ))?;
        if settings.server.tls_cert.as_os_str().is_empty() {
            terminal::print("`soulbox ca trust` tells how to trust its certificates\n")?;
        }
    }
    if terminal::stdout_is_terminal() {
        return terminal::print(&credentials.exports());
    }
    // What is not a terminal may be a log.
    let directory = settings.paths.data_dir.display();
    terminal::print(&format!("eval \"$(soulbox env --data-dir '{directory}')\""))
}
