//! Processes that Linux killed for want of memory while their sandbox lives on.

use crate::control::{Control, event};
use crate::live::Live;
use soulbox_model::EventKind;
use soulbox_node::MemoryKill;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many are told as they come. A program that runs into its limit over and over would fill the store.
const AT_ONCE: u32 = 20;
/// From then on one in such a time, with how many there were.
const REST: Duration = Duration::from_secs(60);

/// What was told of one sandbox.
#[derive(Debug, Default)]
pub(crate) struct MemoryWatch(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    /// How many kills there were when it was last told of them.
    kills: u64,
    events: u32,
    last: Option<Instant>,
}

impl MemoryWatch {
    /// What there is to tell; nothing if nothing is new, or it was told too often.
    fn news(&self, kill: &MemoryKill, now: Instant) -> Option<String> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = kill.number.saturating_sub(told.kills);
        let rests = told
            .last
            .is_some_and(|last| now.duration_since(last) < REST);
        if new == 0 || (told.events >= AT_ONCE && rests) {
            return None;
        }
        told.kills = kill.number;
        told.events = told.events.saturating_add(1);
        told.last = Some(now);
        let held = kill.held.bytes() >> 20;
        let more = match new {
            1 => String::new(),
            new => format!(", the last of {new}"),
        };
        let name = &kill.process;
        Some(format!("Linux killed {name}, which held {held} MiB{more}"))
    }
}

impl Control {
    /// Keeps and tells what Linux killed in a sandbox since the last look.
    pub(crate) async fn tell_memory_kills(&self, live: &Live) {
        let kill = match live.sandbox().await {
            Some(sandbox) => sandbox.memory_kill(),
            None => None,
        };
        let news = kill.and_then(|kill| live.memory_watch.news(&kill, Instant::now()));
        let Some(news) = news else {
            return;
        };
        if !live.lock().is_live() {
            return;
        }
        let killed = event(EventKind::ProcessOutOfMemory, &news);
        if let Err(error) = self.note(live, killed).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(sandbox = %live.id(), error, "a kill for want of memory was not recorded");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_model::ByteSize;

    fn kill(number: u64) -> MemoryKill {
        MemoryKill {
            process: "python3".to_owned(),
            held: ByteSize::mib(60),
            number,
        }
    }

    #[test]
    fn each_kill_is_told_once_and_a_flood_is_not() {
        let (watch, now) = (MemoryWatch::default(), Instant::now());
        let first = watch.news(&kill(1), now).unwrap();
        assert_eq!(first, "Linux killed python3, which held 60 MiB");
        assert_eq!(watch.news(&kill(1), now), None);
        assert!(watch.news(&kill(4), now).unwrap().ends_with("of 3"));
        let told = (5..1000)
            .filter(|n| watch.news(&kill(*n), now).is_some())
            .count();
        assert_eq!(told, AT_ONCE as usize - 2);
        let later = watch.news(&kill(1000), now + REST).unwrap();
        assert!(later.contains("the last of"), "{later}");
    }
}
