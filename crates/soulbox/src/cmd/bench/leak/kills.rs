//! What is left when the engine, its spawner or a sandbox's first process is killed at a random
//! moment, again and again.
//!
//! Engines run as processes of their own. A killed one is followed by the next, which has to clear
//! away what is left of it; one whose spawner or whose sandbox was killed has to go on by itself.

use super::super::report::{Report, Times};
use super::Args;
use super::owned::{KINDS, Left, Owned, children, spawners};
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::{self, Progress};
use rustix::process::{Signal, pidfd_send_signal};
use soulbox_runtime::native::identity::Identity;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Victim {
    /// The engine
    Engine,
    /// The process that makes its sandboxes
    Spawner,
    /// A process below the spawner: the first one of a sandbox, in whatever state, or its helper
    Agent,
}

/// How long an engine may take to start or to make its next sandbox.
const PATIENCE: Duration = Duration::from_secs(30);
/// In which time after its start an engine is killed: it clears up, starts its spawner, fills its
/// pools and puts up its walls then.
const STARTING: Duration = Duration::from_millis(250);
/// In which time after that something is killed: some cycles.
const WORKING: Duration = Duration::from_millis(60);
/// How many lines of what an engine told are kept.
const TOLD: usize = 30;
/// How many spawners and agents are killed at the end between two looks at the descriptors.
const FOR_DESCRIPTORS: u32 = 6;

/// Kills and counts.
pub(super) fn measure(global: &Global, args: &Args) -> Result<Report, Failure> {
    let settings = global.settings(Vec::new())?;
    let seed = args.seed.unwrap_or_else(|| std::process::id() ^ clock());
    let mut run = Run {
        command: command(global, args)?,
        chance: Chance(u64::from(seed)),
        owned: Owned::new(&settings)?,
        engine: None,
        left: Left::new(),
        killed: [0; 3],
        restarts: Times::of("engine killed, to the next one's start")?,
        recoveries: Times::of("spawner or agent killed, to the next whole cycle")?,
    };
    let mut report = Report::begin("kills", &args.common.template);
    terminal::warn(&format!("seed {seed}"));
    let bar = Progress::bar("killing", u64::from(args.cycles));
    for number in 0..args.cycles {
        let victim = run.chance.one_of(&args.kills);
        run.kill(victim)
            .map_err(|failure| failure.help(format!("kill {number} of seed {seed}")))?;
        bar.advance(1);
    }
    drop(bar);
    let descriptors = run.finish()?;
    report.times([run.restarts, run.recoveries]);
    report.figure("seed", f64::from(seed), "");
    report.figure("kills", f64::from(args.cycles), "");
    for (name, count) in ["engine", "spawner", "agent"].into_iter().zip(run.killed) {
        report.figure(format!("kills of an {name}"), f64::from(count), "");
    }
    for kind in KINDS {
        let left = run
            .left
            .get(kind)
            .map_or(0, std::collections::BTreeSet::len);
        report.zero(kind, f64::from(u32::try_from(left).unwrap_or(u32::MAX)));
    }
    report.zero("descriptors of the engine", descriptors);
    Ok(report.end())
}

struct Run {
    command: Vec<String>,
    chance: Chance,
    owned: Owned,
    engine: Option<Engine>,
    left: Left,
    killed: [u32; 3],
    restarts: Times,
    recoveries: Times,
}

impl Run {
    fn kill(&mut self, victim: Victim) -> Result<(), Failure> {
        self.killed[victim as usize] += 1;
        let mut engine = match self.engine.take() {
            Some(engine) => engine,
            None => Engine::start(&self.command)?,
        };
        if victim == Victim::Engine {
            return self.kill_engine(engine);
        }
        self.make_ready(&mut engine)?;
        self.kill_below(&mut engine, victim)?;
        self.engine = Some(engine);
        Ok(())
    }

    fn kill_engine(&mut self, mut engine: Engine) -> Result<(), Failure> {
        if !engine.ready && self.chance.below(2) == 0 {
            self.sleep(STARTING);
        } else {
            self.make_ready(&mut engine)?;
            self.sleep(WORKING);
        }
        let pid = engine.child.id();
        self.owned.note(pid);
        engine.kill()?;
        // What it took between the look and its end stands in the table of slots.
        self.owned.note(pid);
        Ok(())
    }

    /// Kills the spawner or a sandbox's first process, and waits until the engine has recovered.
    fn kill_below(&mut self, engine: &mut Engine, victim: Victim) -> Result<(), Failure> {
        self.sleep(WORKING);
        let pid = engine.child.id();
        self.owned.note(pid);
        let Some(target) = self.target(pid, victim)? else {
            return Ok(());
        };
        let _ = pidfd_send_signal(&target, Signal::KILL);
        let begin = Instant::now();
        engine.forget();
        // The first cycle may have been whole before the kill.
        engine.wait_for("cycle")?;
        engine.wait_for("cycle")?;
        self.recoveries.add(begin.elapsed());
        self.look(Some(pid));
        Ok(())
    }

    /// The process to kill; none when it ended by itself meanwhile.
    fn target(
        &mut self,
        engine: u32,
        victim: Victim,
    ) -> Result<Option<rustix::fd::OwnedFd>, Failure> {
        let begin = Instant::now();
        loop {
            let spawners = spawners(engine);
            let below = match victim {
                Victim::Agent => spawners.iter().flat_map(|pid| children(*pid)).collect(),
                _ => spawners,
            };
            if !below.is_empty() {
                let pid = self.chance.one_of(&below);
                return Ok(Identity::of(pid).and_then(|identity| identity.open()));
            }
            if begin.elapsed() > PATIENCE {
                let what = format!("the engine has no {victim:?} to kill");
                return Err(Failure::new(Exit::INTERNAL, what));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn make_ready(&mut self, engine: &mut Engine) -> Result<(), Failure> {
        if engine.ready {
            return Ok(());
        }
        engine.wait_for("ready")?;
        engine.ready = true;
        self.restarts.add(engine.begun.elapsed());
        self.look(Some(engine.child.id()));
        Ok(())
    }

    /// Looks for what is left; each thing counts once.
    fn look(&mut self, alive: Option<u32>) {
        for (kind, things) in self.owned.left(alive) {
            let known = self.left.entry(kind).or_default();
            for thing in things {
                if known.insert(thing.clone()) {
                    let killed: u32 = self.killed.iter().sum();
                    terminal::warn(&format!("left after {killed} kills: {kind}: {thing}"));
                }
            }
        }
    }

    /// Looks whether an engine that goes on loses descriptors, and ends it. Tells how many.
    fn finish(&mut self) -> Result<f64, Failure> {
        let mut engine = match self.engine.take() {
            Some(engine) => engine,
            None => Engine::start(&self.command)?,
        };
        self.make_ready(&mut engine)?;
        let before = engine.rest()?;
        for number in 0..FOR_DESCRIPTORS {
            let victim = [Victim::Spawner, Victim::Agent][(number % 2) as usize];
            self.kill_below(&mut engine, victim)?;
        }
        let after = engine.rest()?;
        engine.stop()?;
        self.look(None);
        Ok((after - before).max(0.0))
    }

    fn sleep(&mut self, up_to: Duration) {
        let micros = u64::try_from(up_to.as_micros()).unwrap_or(u64::MAX);
        std::thread::sleep(Duration::from_micros(self.chance.below(micros)));
    }
}

/// An engine as a process. It ends when its stdin closes, so also when this process dies.
struct Engine {
    child: Child,
    lines: Receiver<String>,
    told: Arc<Mutex<VecDeque<String>>>,
    begun: Instant,
    ready: bool,
}

impl Engine {
    fn start(words: &[String]) -> Result<Self, Failure> {
        let (program, arguments) = words.split_first().ok_or_else(|| failed("has no name"))?;
        #[allow(
            clippy::disallowed_methods,
            reason = "what is killed must be a process of its own"
        )]
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        let begun = Instant::now();
        let mut child = command
            .spawn()
            .map_err(|error| failed("cannot start").because(&error))?;
        let (sender, lines) = channel();
        let stdout = child.stdout.take();
        std::thread::spawn(move || {
            let lines = stdout
                .into_iter()
                .flat_map(|out| BufReader::new(out).lines());
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        // What it tells of kills is expected, and shown when something else goes wrong.
        let told = Arc::new(Mutex::new(VecDeque::new()));
        let (stderr, kept) = (child.stderr.take(), Arc::clone(&told));
        std::thread::spawn(move || {
            let lines = stderr
                .into_iter()
                .flat_map(|err| BufReader::new(err).lines());
            for line in lines.map_while(Result::ok) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() == TOLD {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
        });
        Ok(Self {
            child,
            lines,
            told,
            begun,
            ready: false,
        })
    }

    /// Waits until it says `word` and gives what follows it.
    fn wait_for(&mut self, word: &str) -> Result<String, Failure> {
        let begin = Instant::now();
        let mut last = String::new();
        loop {
            let left = PATIENCE.saturating_sub(begin.elapsed());
            let Ok(line) = self.lines.recv_timeout(left) else {
                let status = self.child.try_wait();
                for line in self
                    .told
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .iter()
                {
                    terminal::warn(line);
                }
                let what = format!("did not say {word:?}, but last {last:?}; it is {status:?}");
                return Err(failed(&what));
            };
            if let Some(rest) = line.strip_prefix(word) {
                return Ok(rest.trim().to_owned());
            }
            last = line;
        }
    }

    /// Forgets what it has said so far.
    fn forget(&mut self) {
        while self.lines.try_recv().is_ok() {}
    }

    /// Lets it rest, and tells how many descriptors it has open then.
    fn rest(&mut self) -> Result<f64, Failure> {
        self.tell("rest\n")?;
        let open = self.wait_for("rest")?;
        self.tell("go\n")?;
        open.parse()
            .map_err(|_| failed(&format!("has {open:?} descriptors")))
    }

    fn tell(&mut self, order: &str) -> Result<(), Failure> {
        let stdin = self
            .child
            .stdin
            .as_mut()
            .ok_or_else(|| failed("has no stdin"))?;
        let told = stdin.write_all(order.as_bytes());
        told.map_err(|error| failed("does not listen").because(&error))
    }

    fn kill(&mut self) -> Result<(), Failure> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map_err(|error| failed("cannot be killed").because(&error))?;
        Ok(())
    }

    /// Ends it by closing its stdin.
    fn stop(&mut self) -> Result<(), Failure> {
        drop(self.child.stdin.take());
        let status = self.child.wait();
        let status = status.map_err(|error| failed("cannot be waited for").because(&error))?;
        if status.success() {
            Ok(())
        } else {
            Err(failed(&format!("ended with {status}")))
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Only one that was given up half-way still lives here.
        let _ = self.kill();
    }
}

fn failed(what: &str) -> Failure {
    Failure::new(Exit::INTERNAL, format!("the engine that is killed {what}"))
}

/// This program as the engine to be killed.
fn command(global: &Global, args: &Args) -> Result<Vec<String>, Failure> {
    let program = std::env::current_exe();
    let program = program.map_err(|error| failed("has no program").because(&error))?;
    let mut words = vec![program.display().to_string()];
    words.extend(["bench", "leak", "--as-engine", "--template"].map(str::to_owned));
    words.push(args.common.template.clone());
    if let Some(config) = &global.config {
        words.extend(["--config".to_owned(), config.display().to_string()]);
    }
    if let Some(directory) = &global.data_dir {
        words.extend(["--data-dir".to_owned(), directory.clone()]);
    }
    Ok(words)
}

fn clock() -> u32 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |time| time.subsec_nanos())
}

/// Numbers by chance that a seed repeats (splitmix64, <https://prng.di.unimi.it/splitmix64.c>).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is far below 2^64.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// One of some things, of which there is at least one.
    fn one_of<T: Copy>(&mut self, things: &[T]) -> T {
        let at = self.below(things.len() as u64);
        things[usize::try_from(at).unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_numbers() {
        let numbers = |seed| {
            let mut chance = Chance(seed);
            [(); 8].map(|()| chance.below(1000))
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
    }
}
