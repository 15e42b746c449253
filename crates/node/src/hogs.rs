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

/// How often is looked at the machine, and at each sandbox while it is crowded or somebody is held.
const WINDOW: Duration = Duration::from_millis(100);
/// How often is looked at each sandbox otherwise.
const CALM: Duration = Duration::from_secs(1);
/// From how much of one processor, in thousandths, a sandbox takes more than one.
const HOGS: u64 = 1050;
/// Below how much of one processor, in thousandths, one that is held wants no more than it has.
const MODEST: u64 = 750;
/// From how much of one processor, in thousandths, a sandbox wants some: little, for a hog may not
/// let it have more.
const WANTS: u64 = 2;
/// From how much of all processors, in percent, the machine has no more to give.
const CROWDED: u64 = 75;
/// How many looks in a row somebody takes more than one processor before it is held.
const PATIENCE: u32 = 2;
/// How long after others last wanted some it is let go.
const QUIET: Duration = Duration::from_secs(5);
/// How long one that is held wants no more than it has before it is let go.
const SETTLED: Duration = Duration::from_secs(1);
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
    let Some(processors) = Processors::find(&layout, name) else {
        return Ok(());
    };
    processors.release_all()?;
    // A hog would not let this thread run either.
    if let Err(error) = soulbox_syscall::scheduling::go_first() {
        tracing::debug!(%error, "sandboxes that take all processors may be held late");
    }
    let mut hogs = Hogs::default();
    let mut rest = WINDOW;
    let (mut ticks, mut last) = (Ticks::now(), Instant::now());
    while go_on(rest) {
        let before = std::mem::replace(&mut ticks, Ticks::now());
        let is_crowded = ticks.is_crowded_since(before);
        let begin = Instant::now();
        let passed = begin.duration_since(last);
        if !is_crowded && !hogs.holds() && passed < CALM {
            continue;
        }
        last = begin;
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
#[derive(Default)]
struct Hogs {
    seen: HashMap<u32, Seen>,
}

#[derive(Default, Clone, Copy)]
struct Seen {
    used: u64,
    /// How long ago it wanted some.
    quiet: Option<Duration>,
    /// In how many looks in a row it took more than one processor.
    greedy: u32,
    /// For how long it has wanted no more than it has.
    modest: Duration,
    held: bool,
}

impl Hogs {
    /// Whether somebody is held.
    fn holds(&self) -> bool {
        self.seen.values().any(|seen| seen.held)
    }

    /// Takes what each has used so far, in microseconds, and tells what is to change. `passed` is the
    /// time since the last look.
    fn look(
        &mut self,
        passed: Duration,
        is_crowded: bool,
        each: &[(u32, u64)],
    ) -> Vec<(u32, Change)> {
        let before = std::mem::take(&mut self.seen);
        let mut uses = Vec::with_capacity(each.len());
        for &(slot, used) in each {
            // A new one has used nothing before, and one that took over the slot of another neither.
            let known = before.get(&slot).copied().unwrap_or_default();
            let since = used.checked_sub(known.used).unwrap_or(used);
            uses.push((slot, thousandths(since, passed)));
            self.seen.insert(slot, Seen { used, ..known });
        }
        for (slot, use_) in &uses {
            if let Some(seen) = self.seen.get_mut(slot) {
                seen.quiet = match !seen.held && *use_ >= WANTS {
                    true => Some(Duration::ZERO),
                    false => seen.quiet.map(|quiet| quiet.saturating_add(passed)),
                };
            }
        }
        let all = self.seen.values().filter(|seen| seen.wants()).count();
        let is_free = |slot: &u32| self.seen.get(slot).is_some_and(|seen| !seen.held);
        let free = uses.iter().filter(|(slot, _)| is_free(slot));
        let most = free.map(|(_, use_)| *use_).max().unwrap_or(0);
        let mut changes = Vec::new();
        for (slot, use_) in uses {
            if let Some(seen) = self.seen.get_mut(&slot) {
                let others = all - usize::from(seen.wants());
                // Whoever takes the most goes first; then there may be enough for the next one.
                let is_greedy = is_crowded && use_ >= HOGS.max(most);
                let Some(change) = seen.step(use_, passed, is_greedy, others > 0) else {
                    continue;
                };
                changes.push((slot, change));
            }
        }
        changes
    }
}

impl Seen {
    /// Whether it wanted some lately.
    fn wants(&self) -> bool {
        self.quiet.is_some_and(|quiet| quiet < QUIET)
    }

    fn step(
        &mut self,
        use_: u64,
        passed: Duration,
        is_greedy: bool,
        is_wanted: bool,
    ) -> Option<Change> {
        self.greedy = match is_greedy {
            true => self.greedy.saturating_add(1),
            false => 0,
        };
        self.modest = match use_ < MODEST {
            true => self.modest.saturating_add(passed),
            false => Duration::ZERO,
        };
        if !self.held && is_wanted && self.greedy >= PATIENCE {
            (self.held, self.modest, self.quiet) = (true, Duration::ZERO, None);
            return Some(Change::Hold);
        }
        if self.held && (!is_wanted || self.modest >= SETTLED) {
            (self.held, self.greedy) = (false, 0);
            return Some(Change::Release);
        }
        None
    }
}

/// Of one processor, in thousandths.
fn thousandths(used_us: u64, passed: Duration) -> u64 {
    let passed = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
    used_us.saturating_mul(1000) / passed.max(1)
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
            Self {
                hogs: Hogs::default(),
                used: (1..=slots).map(|slot| (slot, 0)).collect(),
            }
        }

        /// One window in which slots use so many thousandths of a processor.
        fn window(&mut self, uses: &[u64]) -> Vec<(u32, Change)> {
            for (slot, use_) in self.used.iter_mut().zip(uses) {
                slot.1 += use_ * 100;
            }
            let is_crowded = uses.iter().sum::<u64>() >= 1500;
            self.hogs.look(WINDOW, is_crowded, &self.used)
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
        assert_eq!(held, Some((PATIENCE, (1, Change::Hold))));
        assert!(machine.hogs.holds());
        assert_eq!(machine.change(100, &[1000, 300]), None, "it stays held");
        let freed = machine.change(100, &[1000, 0]);
        assert_eq!(freed, Some((50, (1, Change::Release))));
        assert!(!machine.hogs.holds());
    }

    #[test]
    fn who_wanted_some_lately_finds_it_held_already() {
        let mut machine = Machine::new(2);
        assert_eq!(machine.change(1, &[0, 300]), None);
        let held = machine.change(10, &[2000, 0]);
        assert_eq!(held, Some((PATIENCE, (1, Change::Hold))));
    }

    #[test]
    fn who_wants_no_more_is_let_go() {
        let mut machine = Machine::new(2);
        assert!(machine.change(10, &[1700, 300]).is_some());
        let freed = machine.change(100, &[100, 300]);
        assert_eq!(freed, Some((10, (1, Change::Release))));
    }

    #[test]
    fn nobody_is_held_alone_or_beside_others_like_it_or_for_one_processor() {
        assert_eq!(Machine::new(2).change(100, &[2000, 0]), None);
        assert_eq!(Machine::new(2).change(100, &[1999, 1]), None);
        let mut alone = Machine::new(2);
        assert_eq!(alone.change(1, &[900, 0]), None);
        assert_eq!(
            alone.change(100, &[1900, 0]),
            None,
            "none but itself wants any"
        );
        assert_eq!(Machine::new(2).change(100, &[1000, 1000]), None);
        let mut many = Machine::new(4);
        assert_eq!(many.change(100, &[500, 500, 500, 500]), None);
    }

    #[test]
    fn a_slot_that_another_took_over_begins_anew() {
        let mut machine = Machine::new(2);
        assert!(machine.change(1, &[1_000_000, 300]).is_none());
        machine.used[0].1 = 0;
        assert_eq!(machine.change(100, &[100, 300]), None);
    }
}
