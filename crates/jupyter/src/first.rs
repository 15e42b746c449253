//! The beginning of a context: what the kernel is to begin with, its start, and the first words with it.

use crate::bridge::{Asked, Bridge, BridgeError};
use crate::cell::Failure;
use crate::channels::{ChannelError, Channels, From};
use crate::frame::{Ask, Say};
use crate::kernel::Kernel;
use crate::message::Request;
use crate::raw::Raw;
use crate::spec::{Interrupt, Spec};
use crate::teller::Teller;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Of the control protocol.
const PROTOCOL: u32 = 1;

/// How long the kernel's start waits for the variables and the directory that it is to begin with.
const FIRST: Duration = Duration::from_millis(100);

/// How long the kernel has to answer whether it hears, before it is asked again.
const AGAIN: Duration = Duration::from_millis(200);

/// Before there is a kernel: what it is to begin with.
pub(crate) struct First {
    asked: mpsc::Receiver<Asked>,
    interrupts: Signal,
    teller: Teller,
    variables: BTreeMap<String, Option<String>>,
    directory: Option<PathBuf>,
    waiting: VecDeque<Ask>,
}

impl First {
    pub(crate) fn new(asked: mpsc::Receiver<Asked>, interrupts: Signal, teller: Teller) -> Self {
        Self {
            asked,
            interrupts,
            teller,
            variables: BTreeMap::new(),
            directory: None,
            waiting: VecDeque::new(),
        }
    }

    /// Takes the variables and the directory that come before anything else.
    pub(crate) async fn gather(&mut self) -> io::Result<()> {
        let until = Instant::now() + FIRST;
        while self.directory.is_none() && self.waiting.is_empty() {
            let Ok(asked) = tokio::time::timeout_at(until, self.asked.recv()).await else {
                break;
            };
            match asked.unwrap_or(Ok(None))? {
                Some(Ok(Ask::SetEnv { id, env })) => {
                    let bad = env.iter().find(|(name, value)| {
                        let value = value.as_deref().unwrap_or_default();
                        name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
                    });
                    let failure = bad.map(|(name, _)| {
                        Failure::new("ValueError", format!("variable {name:?} cannot be set"))
                    });
                    if failure.is_none() {
                        self.variables.extend(env);
                    }
                    self.teller.end(&id, failure.as_ref()).await?;
                }
                Some(Ok(Ask::Cd { id, path })) => {
                    let entered = std::env::set_current_dir(&path);
                    let failure = entered
                        .err()
                        .map(|error| Failure::new("OSError", format!("{path}: {error}")));
                    self.teller.end(&id, failure.as_ref()).await?;
                    self.directory = Some(path.into());
                }
                Some(Ok(ask)) => self.waiting.push_back(ask),
                Some(Err(wrong)) => self.teller.refuse(wrong).await?,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        Ok(())
    }

    /// Starts the kernel and runs cells.
    pub(crate) async fn begin(self, spec: &Spec, path: &Path) -> Result<u8, BridgeError> {
        // This program has gone where the kernel is to be.
        let (mut kernel, output, errors) =
            Kernel::start(spec, path, Path::new("."), &self.variables)?;
        let mut raw = Raw::new(output, errors)?;
        let met = async {
            let mut channels = Channels::connect(&mut kernel).await?;
            let name = greet(&mut channels, &mut kernel).await?;
            Ok::<_, BridgeError>((channels, name))
        };
        let (channels, name) = tokio::select! {
            met = met => met?,
            never = raw.log() => match never {},
        };
        kernel.hide();
        let mut bridge = Bridge {
            kernel,
            channels,
            teller: self.teller,
            language: spec.language.clone(),
            by_message: spec.interrupt_mode == Interrupt::Message,
            waiting: self.waiting,
            running: None,
            late: None,
            held: None,
            raw,
            count: 1,
        };
        bridge.teller.say(&Say::Ready {
            protocol: PROTOCOL,
            pid: std::process::id(),
            kernel: &name,
        });
        bridge.teller.flush().await?;
        bridge.run(self.asked, self.interrupts).await
    }
}

/// Waits until the kernel answers and is heard; gives its name.
async fn greet(channels: &mut Channels, kernel: &mut Kernel) -> Result<String, BridgeError> {
    let (mut name, mut published) = (None, false);
    loop {
        channels.ask(Request::Info).await?;
        let until = Instant::now() + AGAIN;
        loop {
            if let (Some(name), true) = (&name, published) {
                return Ok(String::clone(name));
            }
            tokio::select! {
                _ = kernel.ended() => return Err(ChannelError::from(io::Error::other("it has ended")).into()),
                () = sleep_until(until) => break,
                heard = channels.hear() => match heard {
                    Some((From::Published, _)) => published = true,
                    Some((From::Shell, heard)) if heard.kind == "kernel_info_reply" => {
                        let content = heard.content().unwrap_or_default();
                        name = Some(content.implementation.unwrap_or_default());
                    }
                    Some(_) => {}
                    None => return Err(ChannelError::from(io::Error::other("it does not answer")).into()),
                },
            }
        }
    }
}
