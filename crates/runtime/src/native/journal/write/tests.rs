use super::super::{Ending, Found, read};
use super::*;
use rustix::fs::{Mode, OFlags};
use soulbox_wire::spawner::Usage;
use std::path::{Path, PathBuf};
use std::time::Instant;

fn paths(directory: &Path) -> [PathBuf; FILES] {
    ["0", "1"].map(|name| directory.join(name))
}

/// How many ends these journals keep over a change of files.
const KEPT: usize = 256;

fn begin(directory: &Path, growth: u64) -> Journal {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
    let files =
        paths(directory).map(|path| rustix::fs::open(path, flags, Mode::from(0o600)).unwrap());
    Journal::growing(files, (growth, KEPT)).unwrap()
}

fn found(directory: &Path) -> Found {
    read(&paths(directory)).unwrap().unwrap()
}

fn end(ending: Ending) -> End {
    End {
        at: clock(),
        ending,
        code: None,
        signal: Some(9),
        usage: Usage::default(),
    }
}

fn me() -> Identity {
    Identity::of(std::process::id()).unwrap()
}

#[test]
fn what_is_held_and_what_ended_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = begin(directory.path(), GROWTH);
    for slot in 1..=3 {
        journal.taken(slot, Network::None).unwrap();
        journal.born(slot, me()).unwrap();
    }
    journal.running(1);
    journal.note(1, "one".to_owned());
    journal.ended(2, end(Ending::Alone));
    journal.ended(3, end(Ending::Asked));
    journal.back(3, &[]);
    let found = found(directory.path());
    assert!(found.head.spawner.lives());
    assert_eq!(found.held.keys().copied().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(found.held[&1].process, Some(me()));
    assert_eq!(found.held[&1].note.as_deref(), Some("one"));
    assert!(found.held[&1].ran && !found.held[&2].ran);
    assert!(found.held[&2].end.is_some());
    assert_eq!(found.past.len(), 1);
    assert_eq!((found.past[0].slot, found.unreadable), (3, 0));
}

#[test]
fn it_never_grows_without_bound_and_forgets_nothing_that_counts() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = begin(directory.path(), 2000);
    journal.taken(4000, Network::Internet).unwrap();
    journal.born(4000, me()).unwrap();
    journal.note(4000, "stays".to_owned());
    for slot in 1..2000 {
        journal.taken(slot, Network::None).unwrap();
        journal.ended(slot, end(Ending::Alone));
        journal.back(slot, &[]);
        let length = |path: &PathBuf| std::fs::metadata(path).unwrap().len();
        assert!(
            paths(directory.path())
                .iter()
                .all(|path| length(path) < 80_000)
        );
    }
    let found = found(directory.path());
    assert_eq!(found.held.len(), 1);
    assert_eq!(found.held[&4000].note.as_deref(), Some("stays"));
    assert!(found.past.len() >= KEPT);
    assert_eq!(found.past.last().unwrap().slot, 1999);
}

#[test]
fn a_change_of_files_that_was_cut_short_does_not_count() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = begin(directory.path(), GROWTH);
    journal.taken(7, Network::None).unwrap();
    let [even, odd] = paths(directory.path());
    let whole = std::fs::read(&odd).unwrap();
    journal.change_files().unwrap();
    let next = std::fs::read(&even).unwrap();
    for length in 0..next.len() {
        std::fs::write(&even, &next[..length]).unwrap();
        assert!(found(directory.path()).held.contains_key(&7), "{length}");
    }
    for length in 0..whole.len() {
        std::fs::write(&odd, &whole[..length]).unwrap();
        std::fs::write(&even, &next).unwrap();
        assert!(found(directory.path()).held.contains_key(&7), "{length}");
    }
}

#[test]
fn a_full_disk_refuses_a_slot_and_spoils_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = begin(directory.path(), GROWTH);
    journal.taken(1, Network::None).unwrap();
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let full = || rustix::fs::open("/dev/full", flags, Mode::empty()).unwrap();
    let kept = std::mem::replace(&mut journal.files, [full(), full()]);
    let refused = journal.taken(2, Network::None).unwrap_err();
    // `/dev/full` cannot be emptied, which comes first.
    assert!([Errno::NOSPC, Errno::INVAL].contains(&refused.errno));
    journal.files = kept;
    journal.taken(3, Network::None).unwrap();
    let found = found(directory.path());
    assert_eq!(found.held.keys().copied().collect::<Vec<_>>(), [1, 3]);
}

/// Told, and held against a generous bound: the machine may do other things meanwhile.
#[test]
fn a_create_costs_little() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut journal = begin(directory.path(), GROWTH);
    let note = "x".repeat(300);
    let mut times: Vec<_> = (0..2000)
        .map(|n| {
            let slot = n % 4000 + 1;
            let begin = Instant::now();
            let earliest = crate::native::identity::now();
            journal.taken(slot, Network::None).unwrap();
            let process = Identity::made_since(1, earliest);
            journal.born(slot, process).unwrap();
            journal.running(slot);
            journal.note(slot, note.clone());
            journal.ended(slot, end(Ending::Asked));
            journal.back(slot, &[]);
            begin.elapsed()
        })
        .collect();
    times.sort_unstable();
    let median = times[times.len() / 2];
    #[allow(
        clippy::print_stderr,
        reason = "a figure for whoever asks with --nocapture"
    )]
    {
        eprintln!(
            "six lines: median {median:?}, p99 {:?}",
            times[times.len() * 99 / 100]
        );
    }
    assert!(median.as_micros() < 200, "{median:?}");
}
