//! The loop between the agent and a kernel.

use crate::cell::{Failure, Running, Told};
use crate::channels::{ChannelError, Channels, From};
use crate::first::First;
use crate::frame::{Ask, Say, Wrong, read};
use crate::kernel::{Kernel, KernelError};
use crate::message::{Heard, Request};
use crate::raw::{Raw, Text};
use crate::spec::{Spec, SpecError};
use crate::teller::Teller;
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

/// Requests that may wait for the one that runs, the protocol's own number.
const WAITING: usize = 64;

/// How long what was published may come after the answer to its request. ZeroMQ may lose it.
const LATE: Duration = Duration::from_secs(1);

/// How long a value is held that is that of the last expression if the cell ends meanwhile.
const HOLD: Duration = Duration::from_millis(200);

/// How long an idle kernel has to end when it is asked to.
const FAREWELL: Duration = Duration::from_secs(1);

/// Exit status when the conversation with the agent cannot go on.
const LOST: u8 = 70;

/// Why a context cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BridgeError {
    #[error("cannot serve on descriptor {0}: {1}")]
    Control(i32, io::Error),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("the conversation with the agent is lost: {0}")]
    Lost(#[from] io::Error),
}

pub(crate) type Asked = io::Result<Option<Result<Ask, Wrong>>>;

/// Serves the agent at the other end of descriptor `control` until it closes the socket or the kernel ends; gives the
/// exit status that the program should have.
pub(crate) fn serve(control: i32, spec: &Path) -> Result<u8, BridgeError> {
    let failed = |error| BridgeError::Control(control, error);
    if control <= 2 {
        let text = "it is a standard stream; the socket must be above 2";
        return Err(failed(io::Error::other(text)));
    }
    let socket =
        soulbox_syscall::inherit::take_inherited(control).map_err(|error| failed(error.into()))?;
    let socket = std::os::unix::net::UnixStream::from(socket);
    socket
        .peer_addr()
        .and_then(|_| socket.set_nonblocking(true))
        .map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let described = Spec::read(spec)?;
        let (reader, writer) = UnixStream::from_std(socket)?.into_split();
        let (tell, asked) = mpsc::channel(1);
        tokio::spawn(listen(reader, tell));
        // From here on an interrupt is not the end of this program.
        let interrupts = signal(SignalKind::interrupt())?;
        let mut first = First::new(asked, interrupts, Teller::new(writer));
        first.gather().await?;
        first.begin(&described, spec).await
    })
}

async fn listen(mut reader: OwnedReadHalf, tell: mpsc::Sender<Asked>) {
    loop {
        let asked = read(&mut reader).await;
        let last = !matches!(asked, Ok(Some(_)));
        if tell.send(asked).await.is_err() || last {
            return;
        }
    }
}

/// A kernel that serves.
pub(crate) struct Bridge {
    pub(crate) kernel: Kernel,
    pub(crate) channels: Channels,
    pub(crate) teller: Teller,
    pub(crate) language: String,
    pub(crate) by_message: bool,
    pub(crate) waiting: VecDeque<Ask>,
    pub(crate) running: Option<Running>,
    /// When the running step ends even if the kernel did not say that it is idle.
    pub(crate) late: Option<Instant>,
    /// A value that may be that of the last expression, until when it is held for that.
    pub(crate) held: Option<(Box<RawValue>, Instant)>,
    pub(crate) raw: Raw,
    pub(crate) count: u64,
}

impl Bridge {
    /// Runs cells; gives the exit status.
    pub(crate) async fn run(
        mut self,
        mut asked: mpsc::Receiver<Asked>,
        mut interrupts: Signal,
    ) -> Result<u8, BridgeError> {
        loop {
            self.go_on().await?;
            let held = self.held.as_ref().map(|(_, until)| *until);
            let due = [self.late, held, self.teller.due()];
            let due = due.into_iter().flatten().min();
            tokio::select! {
                status = self.kernel.ended() => {
                    self.release(false).await?;
                    self.print_rest().await?;
                    self.teller.flush().await?;
                    return Ok(status);
                }
                asked = asked.recv() => match asked.unwrap_or(Ok(None)) {
                    Ok(Some(asked)) => self.ask(asked).await?,
                    Ok(None) => return Ok(self.leave().await),
                    Err(error) => {
                        crate::tell(&error.to_string());
                        self.kernel.kill();
                        return Ok(LOST);
                    }
                },
                heard = self.channels.hear() => match heard {
                    Some((from, heard)) => self.hear(from, &heard).await?,
                    None => {
                        self.kernel.kill();
                        return Ok(LOST);
                    }
                },
                text = self.raw.next() => self.print(text).await?,
                Some(()) = interrupts.recv() => self.interrupt().await?,
                () = at(due) => {}
            }
        }
    }

    /// Does whatever can be done without anything happening.
    async fn go_on(&mut self) -> Result<(), BridgeError> {
        let now = Instant::now();
        if self.teller.due().is_some_and(|due| due <= now) {
            self.teller.flush().await?;
        }
        if self.held.as_ref().is_some_and(|(_, until)| *until <= now) {
            self.release(false).await?;
        }
        loop {
            let late = self.late.is_some_and(|late| late <= now);
            match &self.running {
                Some(running) if running.is_done(late) => self.step().await?,
                Some(_) => return Ok(()),
                None => match self.waiting.pop_front() {
                    Some(ask) => self.start(ask).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    async fn ask(&mut self, asked: Result<Ask, Wrong>) -> io::Result<()> {
        match asked {
            Ok(ask) if self.waiting.len() >= WAITING => {
                let text = format!("{WAITING} requests wait already; send fewer at once");
                let failure = Failure::new("TooManyRequests", text);
                self.teller.end(ask.id(), Some(&failure)).await
            }
            Ok(ask) => {
                self.waiting.push_back(ask);
                Ok(())
            }
            Err(wrong) => self.teller.refuse(wrong).await,
        }
    }

    async fn start(&mut self, ask: Ask) -> Result<(), BridgeError> {
        // What was printed before does not belong to it.
        self.print_rest().await?;
        self.teller.flush().await?;
        if let Ask::Execute {
            id, code, silent, ..
        } = &ask
            && !silent
        {
            let execution_count = self.count;
            self.count += u64::from(!code.trim().is_empty());
            self.teller.say(&Say::Count {
                id,
                execution_count,
            });
            self.teller.flush().await?;
        }
        self.running = Some(Running::new(ask, &self.language));
        self.step().await
    }

    /// Begins the next step of the running request, or ends it.
    async fn step(&mut self) -> Result<(), BridgeError> {
        self.late = None;
        // Before the kernel has said that it is idle, programs that it waited for had written all.
        self.print_rest().await?;
        let is_well = self.running.as_ref().is_some_and(Running::is_well);
        self.release(is_well).await?;
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        if let Some(step) = running.next() {
            let request = Request::Execute {
                code: &step.code,
                silent: step.silent,
            };
            let id = self.channels.ask(request).await?;
            running.begun(id);
            return Ok(());
        }
        if let Some(running) = self.running.take() {
            let id = running.id.clone();
            self.teller.end(&id, running.outcome().as_ref()).await?;
        }
        Ok(())
    }

    async fn hear(&mut self, from: From, heard: &Heard) -> io::Result<()> {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        let told = running.hear(from, heard);
        if running.is_replied() && self.late.is_none() {
            self.late = Some(Instant::now() + LATE);
        }
        let id = running.id.clone();
        if !matches!(told, Told::Nothing) {
            self.release(false).await?;
        }
        match told {
            Told::Nothing => Ok(()),
            Told::Stdout(text) => self.teller.print(Some(id), false, &text).await,
            Told::Stderr(text) => self.teller.print(Some(id), true, &text).await,
            Told::Result(data, is_main_result) => self.show(&data, is_main_result).await,
            Told::Value(data) => {
                self.held = Some((data, Instant::now() + HOLD));
                Ok(())
            }
            Told::Question => self.channels.no_input().await,
        }
    }

    /// Tells the value that is held, if there is one.
    async fn release(&mut self, is_main_result: bool) -> io::Result<()> {
        match self.held.take() {
            Some((data, _)) => self.show(&data, is_main_result).await,
            None => Ok(()),
        }
    }

    async fn show(&mut self, data: &RawValue, is_main_result: bool) -> io::Result<()> {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        self.teller.flush().await?;
        let said = Say::Result {
            id: &running.id,
            is_main_result,
            data,
        };
        if !self.teller.say(&said) {
            let text = "the value has more bytes than a frame";
            running.fail(Failure::new("ResultTooLarge", text));
        }
        self.teller.flush().await
    }

    /// Tells what the process has written itself.
    async fn print(&mut self, (is_error, text): Text) -> io::Result<()> {
        let id = self.running.as_ref().map(|running| running.id.clone());
        self.teller.print(id, is_error, &text).await
    }

    async fn print_rest(&mut self) -> io::Result<()> {
        for text in self.raw.rest() {
            self.print(text).await?;
        }
        Ok(())
    }

    async fn interrupt(&mut self) -> Result<(), BridgeError> {
        let running = self.running.as_mut();
        let Some(running) = running.filter(|running| running.is_at_cell()) else {
            return Ok(());
        };
        running.interrupted = true;
        match self.by_message {
            true => self.channels.control(Request::Interrupt).await?,
            false => self.kernel.interrupt(),
        }
        Ok(())
    }

    /// The agent has closed the socket: a busy kernel is ended at once, an idle one may end by itself.
    async fn leave(mut self) -> u8 {
        if self.running.is_none() {
            let asked = self.channels.control(Request::Shutdown);
            if asked.await.is_ok() {
                let _ = timeout(FAREWELL, self.kernel.ended()).await;
            }
        }
        self.kernel.kill();
        0
    }
}

/// Comes to an end at `due`, or never.
async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
