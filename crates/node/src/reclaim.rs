//! What engines and spawners that were killed leave, and its removal.
//!
//! A killed spawner takes its sandboxes along, and Linux takes back their namespaces, mounts and
//! memory. Cgroups, links and files stay, under names that a slot's number or an engine's tells.
//!
//! ```text
//! journals ─▶ end what still runs ─▶ tell how it ended ─▶ files ─▶ cgroups, link ─▶ slot free
//! ```
//!
//! A slot is freed last of all, and only when nothing of it is left: whoever gets its number gets
//! its ids, and with them the files that bear them. One that cannot be cleared stays out of use
//! and is tried again by the next engine that starts. What sandboxes wrote into directories that
//! the caller had mounted is the caller's, as are the ids on it.

use crate::dead::{Dead, Survey, read_journal};
use crate::lease::{Holder, LeaseError, Record, Table};
use crate::note::Note;
use crate::past::{Ended, Past};
use soulbox_runtime::native::cgroup::{Layout, remove_left, thaw_left};
use soulbox_runtime::native::journal::{self, End, Ending, FILES, Found};
use soulbox_runtime::native::network::{firewall, link, namespace::Host};
use soulbox_runtime::native::rights;
use soulbox_wire::spawner::Ids;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a spawner whose engine is gone is given to end by itself, which takes it some
/// milliseconds for each sandbox, and how long killed processes may take to end.
const GRACE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(5));

/// Clears away what engines of this machine left that have died, and frees their slots.
///
/// # Errors
/// The table of slots cannot be used.
pub(crate) fn dead_engines(
    (machine_dir, run_dir, data_dir): (&Path, &Path, &Path),
    table: &Table,
    cgroup: &str,
) -> Result<(), LeaseError> {
    let survey = Survey::take(machine_dir, run_dir, data_dir);
    let past = Past::new(machine_dir);
    let mut kept = survey.alive.clone();
    let mut cleared = Vec::new();
    for dead in &survey.dead {
        if clear(dead, &past, cgroup) {
            cleared.push(dead);
        } else {
            kept.extend(dead.mark());
        }
    }
    free(table, &kept, cgroup)?;
    // The notes last: an engine that is killed in here leaves its successor the same to do.
    cleared.into_iter().for_each(Dead::remove);
    if is_root() {
        sweep_walls(machine_dir);
    }
    Ok(())
}

/// Ends what still runs of a dead engine and removes its files; false when something is left.
fn clear(dead: &Dead, past: &Past, cgroup: &str) -> bool {
    let mut ended = true;
    for found in dead.journals() {
        ended &= end(&found, cgroup);
        tell(&found, &dead.name, past);
    }
    ended && dead.remove_files()
}

/// Clears away what a spawner of this engine left that was lost, and frees its slots.
///
/// # Errors
/// The table of slots cannot be used.
pub(crate) fn lost_spawner(
    (holder, engine): (Holder, &str),
    journal: &[PathBuf; FILES],
    table: &Table,
    cgroup: &str,
    past: &Past,
) -> Result<(), LeaseError> {
    if let Some(found) = read_journal(journal) {
        end(&found, cgroup);
        tell(&found, engine, past);
    }
    let clean = clean_slot(cgroup);
    table.reclaim(|record| record.holder == holder && clean(record.slot))?;
    Ok(())
}

/// Frees the slots of dead holders, but for those of engines in `kept`.
fn free(table: &Table, kept: &HashSet<u32>, cgroup: &str) -> Result<(), LeaseError> {
    let clean = clean_slot(cgroup);
    table.reclaim(|record: &Record| !kept.contains(&record.engine) && clean(record.slot))?;
    Ok(())
}

/// Ends the processes of a journal; true when none of them lives. Those of an earlier boot do not.
fn end(found: &Found, cgroup: &str) -> bool {
    if journal::boot().ok().as_ref() != Some(&found.head.boot) {
        return true;
    }
    let begin = Instant::now();
    let mut ended = found.head.spawner.end(GRACE.0, GRACE.1);
    let layout = layout();
    for slot in found.held.keys() {
        thaw_left(&layout, cgroup, *slot);
    }
    for process in found.held.values().filter_map(|held| held.process) {
        // All of them were killed at the same moment, so they have one grace together.
        let left = GRACE.1.saturating_sub(begin.elapsed());
        ended &= process.end(Duration::ZERO, left.max(Duration::from_millis(100)));
    }
    if !ended {
        let boot = &found.head.boot;
        tracing::warn!(boot, "processes of a dead spawner do not end");
    }
    ended
}

/// Writes down how the sandboxes of a journal ended of which nobody was told.
fn tell(found: &Found, engine: &str, past: &Past) {
    let unseen = |ending| !matches!(ending, Ending::Asked | Ending::Failed);
    let known = found.past.iter().filter(|past| unseen(past.end.ending));
    let known = known.map(|past| (past.slot, past.note.as_deref(), past.end.clone()));
    let held = found.held.iter().map(|(slot, held)| {
        let end = held.end.clone().unwrap_or_else(|| concluded(found));
        (*slot, held.note.as_deref(), end)
    });
    let all = known.chain(held).filter_map(|(slot, note, end)| {
        // Without a note nobody had been given it.
        let Note {
            id,
            template,
            callers,
            ..
        } = serde_json::from_str(note?).ok()?;
        let engine = engine.to_owned();
        Some(Ended {
            id,
            template,
            slot,
            engine,
            note: callers,
            end,
        })
    });
    let all: Vec<_> = all.collect();
    for ended in &all {
        let (id, why) = (ended.id.as_str(), crate::past::in_words(ended.end.ending));
        tracing::warn!(id, why, "a sandbox ended while nobody was there");
    }
    if let Err(error) = past.add(all) {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "what ended while nobody was there cannot be asked");
    }
}

/// How a sandbox ended whose spawner did not live to write it down.
fn concluded(found: &Found) -> End {
    let same_boot = journal::boot().ok().as_ref() == Some(&found.head.boot);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    End {
        at: now.map_or(0, |time| {
            u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
        }),
        ending: if same_boot {
            Ending::SpawnerLost
        } else {
            Ending::MachineStopped
        },
        code: None,
        signal: None,
        usage: soulbox_wire::spawner::Usage::default(),
    }
}

/// Whether this engine has links and walls, which a user's has not.
fn is_root() -> bool {
    matches!(rights::of_process(0), Ok(Ids::Machine { .. }))
}

/// Where this user's cgroups are.
fn layout() -> Layout {
    let layout = match is_root() {
        true => Layout::of_host(),
        false => Layout::of_user(),
    };
    layout.unwrap_or_default()
}

/// A function that removes what is left of a slot and tells whether nothing is. A user's engine
/// has cgroups only below its own.
fn clean_slot(cgroup: &str) -> impl Fn(u32) -> bool {
    let layout = layout();
    let host = is_root().then(Host::open);
    move |slot| {
        let groups = remove_left(&layout, cgroup, slot);
        if let Err(error) = &groups {
            tracing::warn!(slot, %error, "a slot stays out of use: its cgroups cannot be removed");
        }
        let host = host.as_ref().and_then(|host| host.as_ref().ok());
        let link = host.is_none_or(|host| match link::disconnect(host, slot) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(slot, %error, "a slot stays out of use: its link cannot be removed");
                false
            }
        });
        groups.is_ok() && link
    }
}

/// Takes the walls down that the last engine with internet left by being killed.
fn sweep_walls(machine_dir: &Path) {
    if let Err(error) = firewall::sweep(machine_dir) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "old walls stay up"
        );
    }
}
