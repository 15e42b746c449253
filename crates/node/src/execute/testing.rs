//! A guest that follows a script.

use crate::execute::guest::{Command, Control, End, Event, Events, Guest, GuestError, Input};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// What a scripted process does.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Prints on stdout.
    Print(&'static str),
    /// Prints on stderr.
    Complain(&'static str),
    /// Prints what it reads until its input ends.
    Echo,
    /// Prints a line again and again.
    Flood,
    /// Waits until it is killed.
    Hang,
    /// Ends.
    End(End),
    /// The connection breaks.
    Break,
}

/// A guest that follows a script.
#[derive(Default)]
pub(crate) struct Script {
    /// What each program does when it is started.
    pub(crate) programs: BTreeMap<&'static str, Vec<Act>>,
    /// Files inside.
    pub(crate) files: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Commands that were started.
    pub(crate) started: Mutex<Vec<Command>>,
    /// Whether a process was killed.
    pub(crate) killed: Arc<AtomicBool>,
    pub(crate) out_of_memory: bool,
    pub(crate) disk_full: bool,
    /// Whether files go with a command, and if they do, whether they can be written.
    pub(crate) carries: Option<bool>,
}

impl Script {
    pub(crate) fn of(programs: &[(&'static str, &[Act])]) -> Self {
        let programs = programs.iter().map(|(name, acts)| (*name, acts.to_vec()));
        Self {
            programs: programs.collect(),
            ..Self::default()
        }
    }

    pub(crate) fn command_lines(&self) -> Vec<String> {
        self.started
            .lock()
            .unwrap()
            .iter()
            .map(|command| command.words.join(" "))
            .collect()
    }
}

pub(crate) struct ScriptEvents {
    acts: VecDeque<Act>,
    input: mpsc::Receiver<Option<Bytes>>,
    killed: Arc<AtomicBool>,
}

pub(crate) struct ScriptControl {
    input: mpsc::Sender<Option<Bytes>>,
    killed: Arc<AtomicBool>,
}

impl Events for ScriptEvents {
    async fn next(&mut self) -> Result<Event, GuestError> {
        loop {
            if self.killed.load(Ordering::SeqCst) {
                return Ok(Event::End(End::Signalled(9)));
            }
            match self.acts.front().cloned() {
                Some(Act::Flood) => return Ok(Event::Stdout(Bytes::from_static(b"0123456789"))),
                Some(Act::Hang) => std::future::pending().await,
                Some(Act::Echo) => match self.input.recv().await.flatten() {
                    Some(bytes) => return Ok(Event::Stdout(bytes)),
                    None => drop(self.acts.pop_front()),
                },
                Some(act) => {
                    self.acts.pop_front();
                    return match act {
                        Act::Print(text) => Ok(Event::Stdout(Bytes::from_static(text.as_bytes()))),
                        Act::Complain(text) => {
                            Ok(Event::Stderr(Bytes::from_static(text.as_bytes())))
                        }
                        Act::End(end) => Ok(Event::End(end)),
                        _ => Err(GuestError::Gone("the connection broke".into())),
                    };
                }
                None => return Ok(Event::End(End::Exited(0))),
            }
        }
    }
}

impl Control for ScriptControl {
    async fn write(&self, bytes: Bytes) -> Result<(), GuestError> {
        let sent = self.input.send(Some(bytes)).await;
        sent.map_err(|_| GuestError::Refused("it has ended".to_owned()))
    }

    async fn close(&self) -> Result<(), GuestError> {
        let sent = self.input.send(None).await;
        sent.map_err(|_| GuestError::Refused("it has ended".to_owned()))
    }

    async fn kill(&self) -> Result<(), GuestError> {
        self.killed.store(true, Ordering::SeqCst);
        Ok(())
    }
}

impl Guest for Script {
    type Events = ScriptEvents;
    type Control = ScriptControl;

    fn template(&self) -> String {
        "script".to_owned()
    }

    fn carries_files(&self) -> bool {
        self.carries.is_some()
    }

    async fn start(&self, command: &Command) -> Result<(ScriptEvents, ScriptControl), GuestError> {
        let name = command.words[0].as_str();
        if self.carries == Some(false) && !command.files.is_empty() {
            return Err(GuestError::NotCarried);
        }
        let acts = self.programs.get(name).cloned();
        let acts = acts.ok_or_else(|| GuestError::Refused(format!("cannot start {name}")))?;
        self.started.lock().unwrap().push(command.clone());
        let (sender, receiver) = mpsc::channel(1);
        let events = ScriptEvents {
            acts: acts.into(),
            input: receiver,
            killed: Arc::clone(&self.killed),
        };
        Ok((
            events,
            ScriptControl {
                input: sender,
                killed: Arc::clone(&self.killed),
            },
        ))
    }

    async fn list_files(
        &self,
        directory: &str,
        _user: Option<&str>,
    ) -> Result<Vec<String>, GuestError> {
        let files = self.files.lock().unwrap();
        let below = format!("{directory}/");
        let names = files.keys().filter(|name| name.starts_with(&below));
        Ok(names.cloned().collect())
    }

    async fn write_file(
        &self,
        path: &str,
        _user: Option<&str>,
        content: Input,
        _executable: bool,
    ) -> Result<(), GuestError> {
        let bytes = match content {
            Input::Bytes(bytes) => bytes.to_vec(),
            Input::Reader(mut reader) => {
                let mut bytes = Vec::new();
                reader
                    .read_to_end(&mut bytes)
                    .await
                    .map_err(GuestError::Host)?;
                bytes
            }
        };
        self.files.lock().unwrap().insert(path.to_owned(), bytes);
        Ok(())
    }

    async fn read_file(
        &self,
        path: &str,
        _user: Option<&str>,
        to: &mut (dyn AsyncWrite + Send + Unpin),
        limit: u64,
    ) -> Result<(), GuestError> {
        let bytes = self.files.lock().unwrap().get(path).cloned();
        let bytes = bytes.ok_or_else(|| GuestError::NotFound(format!("{path} does not exist")))?;
        if bytes.len() as u64 > limit {
            return Err(GuestError::TooLarge { limit });
        }
        to.write_all(&bytes).await.map_err(GuestError::Host)
    }

    async fn has_program(&self, name: &str) -> Result<bool, GuestError> {
        Ok(self.programs.contains_key(name))
    }

    async fn kill_all(&self) -> Result<(), GuestError> {
        self.killed.store(true, Ordering::SeqCst);
        Ok(())
    }

    async fn ran_out_of_memory(&self) -> bool {
        self.out_of_memory
    }

    async fn disk_is_full(&self) -> bool {
        self.disk_full
    }
}
