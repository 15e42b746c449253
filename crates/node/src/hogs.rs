//! Sandboxes that take all processors while others want some.
//!
//! Linux shares processor time fairly, but not at once: beside a group that keeps all processors busy, a
//! command waits for many turns of the scheduler, beside some for seconds (docs/limits.md). Beside one
//! that leaves a processor alone it does not wait. So whoever uses more than one processor for a
//! while on a machine that has no more to give is held to all but one, as long as others want any.
//!
//! One engine does this for all sandboxes of the machine; another one takes over when that is gone.

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use soulbox_runtime::native::cgroup::{Layout, Processors};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How often is looked.
const WINDOW: Duration = Duration::from_millis(100);
/// From how much of one processor, in thousandths, a sandbox takes more than one.
const HOGS: u64 = 1050;
/// Below how much of one processor, in thousandths, one that is held wants no more than it has.
const MODEST: u64 = 750;
/// From how much of one processor, in thousandths, a sandbox wants some.
const WANTS: u64 = 20;
/// From how much of all processors, in percent, the machine has no more to give.
const CROWDED: u64 = 75;
/// How many windows in a row somebody takes more than one processor before it is held.
const PATIENCE: u32 = 2;
/// How many windows after the last one in which others wanted some it is let go.
const QUIET: u32 = 50;
/// How many windows in a row one that is held wants no more than it has before it is let go.
const SETTLED: u32 = 10;
/// How many windows after it was held one that takes more all the same is held again: some of its
/// processes began while the others were moved.
const AGAIN: u32 = 10;
/// A look may take this part of the time between two; with very many sandboxes there are fewer.
const SHARE: u32 = 20;

/// Watches until it is dropped.
pub(crate) struct Watch {
    _stop: Sender<()>,
}

impl Watch {
    /// Begins to watch the sandboxes below the cgroup `name`; `lock` is a file for all engines of
    /// the machine.
    pub(crate) fn begin(name: &'static str, lock: PathBuf) -> Self {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("hogs".to_owned());
        let begun = thread.spawn(move || {
            if let Err(error) = watch(name, lock, &stopped) {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(
                    error,
                    "sandboxes that take all processors are not held to some"
                );
            }
        });
        if let Err(error) = begun {
            tracing::warn!(%error, "sandboxes that take all processors are not held to some");
        }
        Self { _stop: stop }
    }
}

#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error("cannot find the host's cgroups")]
    Layout(#[source] std::io::Error),
    #[error("cannot use the lock {path:?}")]
    Lock {
        path: PathBuf,
        #[source]
        source: rustix::io::Errno,
    },
    #[error(transparent)]
    Step(#[from] soulbox_runtime::native::step::StepError),
}

fn watch(name: &str, lock: PathBuf, stopped: &Receiver<()>) -> Result<(), WatchError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(&lock, flags, Mode::from(0o600));
    let file = file.map_err(|source| WatchError::Lock { path: lock, source })?;
    // An engine that runs one piece of code is gone before the first look.
    let go_on = |rest| stopped.recv_timeout(rest) == Err(RecvTimeoutError::Timeout);
    loop {
        if !go_on(WINDOW) {
            return Ok(());
        }
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            break;
        }
    }
    let layout = Layout::of_host().map_err(WatchError::Layout)?;
    let Some(processors) = Processors::open(&layout, name)? else {
        return Ok(());
    };
    processors.release_all()?;
    let mut hogs = Hogs::new(processors.count());
    let mut rest = WINDOW;
    let mut last = (Instant::now(), Ticks::now());
    while go_on(rest) {
        let begin = Instant::now();
        let passed = begin.duration_since(last.0);
        let ticks = Ticks::now();
        let is_crowded = ticks.is_crowded_since(last.1);
        last = (begin, ticks);
        if hogs.is_quiet(is_crowded) {
            continue;
        }
        for (slot, change) in hogs.look(passed, is_crowded, &processors.used_each()) {
            let changed = match change {
                Change::Hold => processors.hold(slot),
                Change::Release => processors.release(slot),
            };
            match changed {
                Ok(()) => tracing::debug!(slot, ?change, "a sandbox's processors"),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(slot, error, "cannot change a sandbox's processors");
                }
            }
        }
        rest = WINDOW.max(begin.elapsed() * SHARE);
    }
    Ok(())
}

/// What all processors together did since the machine started (proc(5), `/proc/stat`), in ticks.
#[derive(Debug, Clone, Copy, Default)]
struct Ticks {
    all: u64,
    idle: u64,
}

impl Ticks {
    fn now() -> Self {
        // Its first line is short, the others may be many.
        let mut start = [0; 256];
        let read = std::fs::File::open("/proc/stat")
            .and_then(|mut file| std::io::Read::read(&mut file, &mut start));
        let start = start.get(..read.unwrap_or(0)).unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(start))
    }

    /// `cpu  user nice system idle iowait irq softirq steal guest guest_nice`; guests are in the
    /// first two already.
    fn parse(text: &str) -> Self {
        let line = text.lines().next().unwrap_or_default();
        let words = line.split_whitespace().skip(1).take(8);
        let numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
        Self {
            all: numbers.iter().sum(),
            idle: numbers.iter().skip(3).take(2).sum(),
        }
    }

    fn is_crowded_since(self, before: Self) -> bool {
        let all = self.all.saturating_sub(before.all);
        let idle = self.idle.saturating_sub(before.idle);
        all > 0 && all.saturating_sub(idle) * 100 >= all * CROWDED
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Hold,
    Release,
}

/// Who takes more than one processor, and who is held.
struct Hogs {
    /// How many processors there are.
    count: u64,
    seen: HashMap<u32, Seen>,
    /// How many windows ago others wanted some.
    quiet: u32,
}

#[derive(Default)]
struct Seen {
    used: u64,
    /// How many windows in a row it took more than one processor.
    greedy: u32,
    /// How many windows in a row it wanted no more than it has.
    modest: u32,
    /// How many windows ago it was held.
    held: Option<u32>,
}

impl Hogs {
    fn new(count: usize) -> Self {
        Self {
            count: count as u64,
            seen: HashMap::new(),
            quiet: QUIET,
        }
    }

    /// Whether nobody needs to be looked at: there is enough for all, and nobody is held.
    fn is_quiet(&mut self, is_crowded: bool) -> bool {
        let is_quiet = !is_crowded && self.seen.values().all(|seen| seen.held.is_none());
        if is_quiet {
            self.seen.clear();
        }
        is_quiet
    }

    /// Takes what each has used so far, in microseconds, and tells what is to change.
    fn look(
        &mut self,
        window: Duration,
        is_crowded: bool,
        each: &[(u32, u64)],
    ) -> Vec<(u32, Change)> {
        let before = std::mem::take(&mut self.seen);
        let mut uses = Vec::with_capacity(each.len());
        for &(slot, used) in each {
            let known = before.get(&slot);
            // Of a new one nothing is known yet, nor of one that took over the slot of another.
            let last = known.map_or(used, |seen| seen.used);
            uses.push((slot, thousandths(used.saturating_sub(last), window)));
            let seen = known.map_or_else(Seen::default, Seen::again);
            self.seen.insert(slot, Seen { used, ..seen });
        }
        let small = |(slot, use_): &(u32, u64)| {
            let is_held = self.seen.get(slot).is_some_and(|seen| seen.held.is_some());
            !is_held && (WANTS..HOGS).contains(use_)
        };
        self.quiet = match uses.iter().any(small) {
            true => 0,
            false => self.quiet.saturating_add(1),
        };
        let is_wanted = self.quiet < QUIET;
        // What one that is held can take at most.
        let most = HOGS * (self.count - 1).max(1);
        let mut changes = Vec::new();
        for (slot, use_) in uses {
            if let Some(seen) = self.seen.get_mut(&slot)
                && let Some(change) = seen.step(use_, is_crowded, is_wanted, most)
            {
                changes.push((slot, change));
            }
        }
        changes
    }
}

impl Seen {
    fn again(&self) -> Self {
        Self {
            held: self.held.map(|ago| ago.saturating_add(1)),
            ..*self
        }
    }

    fn step(&mut self, use_: u64, is_crowded: bool, is_wanted: bool, most: u64) -> Option<Change> {
        let count = |is: bool, before: u32| if is { before + 1 } else { 0 };
        self.greedy = count(use_ >= HOGS && is_crowded, self.greedy);
        self.modest = count(use_ < MODEST, self.modest);
        match self.held {
            None if is_wanted && self.greedy >= PATIENCE => {
                (self.held, self.modest) = (Some(0), 0);
                Some(Change::Hold)
            }
            Some(_) if !is_wanted || self.modest >= SETTLED => {
                (self.held, self.greedy) = (None, 0);
                Some(Change::Release)
            }
            Some(ago) if ago >= AGAIN && use_ > most => {
                self.held = Some(0);
                Some(Change::Hold)
            }
            _ => None,
        }
    }
}

/// Of one processor, in thousandths.
fn thousandths(used_us: u64, window: Duration) -> u64 {
    let window = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
    used_us.saturating_mul(1000) / window.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two processors, and what each slot has used so far.
    struct Machine {
        hogs: Hogs,
        used: Vec<(u32, u64)>,
    }

    impl Machine {
        fn new(slots: u32) -> Self {
            let mut machine = Self {
                hogs: Hogs::new(2),
                used: (1..=slots).map(|slot| (slot, 0)).collect(),
            };
            assert_eq!(machine.window(&[]), []);
            machine
        }

        /// One window in which slots use so many thousandths of a processor.
        fn window(&mut self, uses: &[u64]) -> Vec<(u32, Change)> {
            for (slot, use_) in self.used.iter_mut().zip(uses) {
                slot.1 += use_ * 100;
            }
            let is_crowded = uses.iter().sum::<u64>() >= 1500;
            match self.hogs.is_quiet(is_crowded) && !uses.is_empty() {
                true => Vec::new(),
                false => self.hogs.look(WINDOW, is_crowded, &self.used),
            }
        }

        /// The first change in so many windows, and in which it came.
        fn change(&mut self, windows: u32, uses: &[u64]) -> Option<(u32, (u32, Change))> {
            (1..=windows).find_map(|n| Some((n, *self.window(uses).first()?)))
        }
    }

    #[test]
    fn a_machine_is_crowded_when_its_processors_are_busy() {
        let at =
            |busy: u64, idle: u64| Ticks::parse(&format!("cpu  {busy} 0 0 {idle} 0 0 0 0 9\ncpu0"));
        assert!(at(115, 105).is_crowded_since(at(100, 100)));
        assert!(!at(114, 106).is_crowded_since(at(100, 100)));
        assert!(!at(1, 1).is_crowded_since(at(1, 1)));
        assert!(!Ticks::parse("").is_crowded_since(at(1, 1)));
    }

    #[test]
    fn who_takes_all_is_held_while_others_want_some() {
        let mut machine = Machine::new(2);
        let held = machine.change(10, &[1700, 300]);
        assert!(held.is_some_and(|(n, change)| n <= 4 && change == (1, Change::Hold)));
        assert_eq!(machine.change(100, &[1000, 300]), None, "it stays held");
        let freed = machine.change(100, &[1000, 0]);
        assert_eq!(freed, Some((QUIET, (1, Change::Release))));
    }

    #[test]
    fn who_wants_no_more_is_let_go() {
        let mut machine = Machine::new(2);
        assert!(machine.change(10, &[1700, 300]).is_some());
        let freed = machine.change(100, &[100, 300]);
        assert_eq!(freed, Some((SETTLED, (1, Change::Release))));
    }

    #[test]
    fn nobody_is_held_alone_or_beside_others_like_it_or_for_one_processor() {
        assert_eq!(Machine::new(2).change(100, &[2000, 0]), None);
        assert_eq!(Machine::new(2).change(100, &[1990, 10]), None);
        assert_eq!(Machine::new(2).change(100, &[1000, 1000]), None);
        let mut many = Machine::new(4);
        assert_eq!(many.change(100, &[500, 500, 500, 500]), None);
    }

    #[test]
    fn who_takes_more_than_it_can_is_held_again() {
        let mut machine = Machine::new(2);
        assert!(machine.change(10, &[1700, 300]).is_some());
        let again = machine.change(100, &[1700, 300]);
        assert_eq!(again, Some((AGAIN, (1, Change::Hold))));
    }
}
