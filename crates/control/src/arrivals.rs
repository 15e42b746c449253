//! What was asked for, minute by minute, kept for four weeks, and what it foretells.
//!
//! | Key | Value |
//! |---|---|
//! | `arrivals/<hour>/<kind>` | the kind, and the minutes of that hour in which somebody asked for it |
//!
//! The pools are told each minute how many are to wait; a forecast is made with each quarter of an hour.

use crate::control::Control;
use crate::records::{Records, json, read_value};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use soulbox_model::Moment;
use soulbox_node::KindKey;
use soulbox_scheduler::{Forecast, History, Minute};
use soulbox_store::{Operation, Range, Span, StoreError};
use std::collections::BTreeSet;
use std::sync::Weak;
use std::time::Duration;

/// Milliseconds of a minute; minutes of an hour.
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60;

/// Hours that are kept: four weeks.
const KEPT: u64 = 28 * 24;

/// The most kinds that are followed, of all teams and of one: each has up to 1 KiB in the store for
/// each hour.
const KINDS: (usize, usize) = (64, 16);

/// The most entries that are removed, or put, at once.
const AT_ONCE: usize = 100;

const PREFIX: &str = "arrivals/";

/// What is under a key.
#[derive(Serialize, Deserialize)]
struct Hour {
    kind: KindKey,
    /// The number of the minute, how many came, and how many in its worst second.
    minutes: BTreeSet<(u64, u32, u32)>,
}

/// One kind.
struct Past {
    kind: KindKey,
    history: History,
    /// The last hour in which somebody asked.
    hour: (u64, BTreeSet<(u64, u32, u32)>),
    forecast: Option<Forecast>,
    /// By how much forecasts were off in all, and how many there were.
    off: (f64, u32),
}

/// Follows what is asked for, for as long as there is a control.
pub(crate) async fn follow(control: Weak<Control>) {
    let Some(mut all) = load(&control).await else {
        return;
    };
    let mut foretold = None;
    loop {
        let now = Moment::now().as_millis();
        tokio::time::sleep(Duration::from_millis(MINUTE - now % MINUTE)).await;
        let Some(control) = control.upgrade() else {
            return;
        };
        let minute = Moment::now().as_millis() / MINUTE;
        note(&control, &mut all, minute.saturating_sub(1)).await;
        let quarter = Forecast::quarter(minute);
        if foretold != Some(quarter) {
            foretold = Some(quarter);
            all = foretell(all, minute).await;
            forget(&control.records, minute / HOUR).await;
        }
        for past in &all {
            let count = past.forecast.as_ref().map_or(0, |told| told.at(minute));
            control.node.expect(&past.kind, count, past.error()).await;
        }
    }
}

impl Past {
    fn new(kind: KindKey) -> Self {
        Self {
            kind,
            history: History::default(),
            hour: (0, BTreeSet::new()),
            forecast: None,
            off: (0.0, 0),
        }
    }

    fn add(&mut self, number: u64, seen: Minute) {
        self.history.note(number, seen);
        let hour = number / HOUR;
        if self.hour.0 != hour {
            self.hour = (hour, BTreeSet::new());
        }
        self.hour.1.insert((number, seen.count, seen.worst));
    }

    fn put(&self) -> Operation {
        let mark = Sha256::digest(json(&self.kind));
        let mark: String = mark
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let hour = Hour {
            kind: self.kind.clone(),
            minutes: self.hour.1.clone(),
        };
        Operation::put(format!("{PREFIX}{:010}/{mark}", self.hour.0), json(&hour))
    }

    /// Compares what was foretold of the quarter before with what came, and foretells the next ones.
    fn foretell(&mut self, minute: u64) {
        let over = Forecast::quarter(minute).saturating_sub(1);
        if let Some(told) = self.forecast.as_ref().and_then(|told| told.of(over)) {
            self.off.0 += (told - f64::from(self.history.worst(over))).abs();
            self.off.1 += 1;
        }
        self.forecast = self.history.forecast(minute);
    }

    /// By how much forecasts were off, on average.
    fn error(&self) -> Option<f64> {
        (self.off.1 > 0).then(|| self.off.0 / f64::from(self.off.1))
    }
}

/// Reads what was kept. None when there is no control any more.
async fn load(control: &Weak<Control>) -> Option<Vec<Past>> {
    let mut all = Vec::new();
    let mut range = Range::prefix(PREFIX);
    loop {
        let records = control.upgrade()?.records.clone();
        let page = match records.store().range(range.clone()).await {
            Ok(page) => page,
            Err(error) => {
                tell(&error, "arrivals of the past cannot be read");
                return Some(all);
            }
        };
        for entry in &page.entries {
            let Some(hour) = read_value::<Hour>(&entry.key, &entry.value) else {
                continue;
            };
            if let Some(past) = of(&mut all, &hour.kind) {
                for (number, count, worst) in hour.minutes {
                    past.add(number, Minute { count, worst });
                }
            }
        }
        match page.entries.last().filter(|_| page.more) {
            Some(last) => range = Range::prefix(PREFIX).after(last.key.clone()),
            None => return Some(all),
        }
    }
}

/// The past of a kind; none if there are too many.
fn of<'a>(all: &'a mut Vec<Past>, kind: &KindKey) -> Option<&'a mut Past> {
    let known = all.iter().position(|past| past.kind == *kind);
    let at = match known {
        Some(at) => at,
        None => {
            let theirs = all.iter().filter(|past| past.kind.team == kind.team);
            if all.len() >= KINDS.0 || theirs.count() >= KINDS.1 {
                return None;
            }
            all.push(Past::new(kind.clone()));
            all.len() - 1
        }
    };
    all.get_mut(at)
}

/// Keeps what came in the minute that is over.
async fn note(control: &Control, all: &mut Vec<Past>, number: u64) {
    let mut operations = Vec::new();
    for (kind, seen) in control.node.take_arrivals() {
        if let Some(past) = of(all, &kind) {
            past.add(number, seen);
            operations.push(past.put());
        }
    }
    operations.truncate(AT_ONCE);
    if !operations.is_empty()
        && let Err(error) = control.records.transact_all(operations).await
    {
        tell(&error, "arrivals are not kept");
    }
}

/// Foretells beside what else goes on: it takes a processor for some milliseconds.
async fn foretell(mut all: Vec<Past>, minute: u64) -> Vec<Past> {
    let told = tokio::task::spawn_blocking(move || {
        all.iter_mut().for_each(|past| past.foretell(minute));
        // Nobody asked for it in four weeks.
        all.retain(|past| past.hour.0 + KEPT >= minute / HOUR);
        all
    });
    told.await.unwrap_or_default()
}

/// Removes what is older than is kept, some of it at a time.
async fn forget(records: &Records, hour: u64) {
    let oldest = format!("{PREFIX}{:010}", hour.saturating_sub(KEPT));
    let old = Range::of(Span::Between(PREFIX.to_owned(), oldest)).limit(AT_ONCE);
    let removed = async {
        let page = records.store().range(old).await?;
        let keys = page.entries.into_iter().map(|entry| entry.key);
        let operations: Vec<_> = keys.map(Operation::delete).collect();
        match operations.is_empty() {
            true => Ok(()),
            false => records.transact_all(operations).await,
        }
    };
    if let Err(error) = removed.await {
        tell(&error, "arrivals of the past are not removed");
    }
}

fn tell(error: &StoreError, what: &str) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "{what}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_model::{Isolation, NetworkMode, SandboxSpec, TeamId, TemplateName};
    use soulbox_node::Loaded;
    use soulbox_settings::Settings;

    fn kind(team: &str, memory: u64) -> KindKey {
        let mut limits = Settings::with(&[]).unwrap().sandbox.limits();
        limits.memory = soulbox_model::ByteSize(memory);
        KindKey {
            spec: SandboxSpec {
                template: TemplateName::host(),
                isolation: Isolation::Namespace,
                limits,
                network: NetworkMode::None,
                mounts: Vec::new(),
            },
            team: Some(team.parse::<TeamId>().unwrap()),
            joined: Some(Loaded::Plain),
        }
    }

    #[test]
    fn a_team_takes_its_part_of_what_is_followed() {
        let mut all = Vec::new();
        let followed = (0..50).filter(|n| of(&mut all, &kind("red", 1 << 20 | n)).is_some());
        assert_eq!(followed.count(), KINDS.1);
        assert!(of(&mut all, &kind("blue", 1)).is_some());
        assert!(of(&mut all, &kind("red", 1 << 20)).is_some(), "it is known");
    }

    #[test]
    fn an_hour_is_read_as_it_was_kept() {
        let mut past = Past::new(kind("red", 1));
        past.add(119, Minute { count: 1, worst: 1 });
        past.add(120, Minute { count: 5, worst: 3 });
        past.add(121, Minute { count: 2, worst: 2 });
        let Operation::Put { key, value, .. } = past.put() else {
            unreachable!();
        };
        assert!(key.starts_with("arrivals/0000000002/"), "{key}");
        let read: Hour = read_value(&key, &value).unwrap();
        assert_eq!(read.minutes.len(), 2);
        assert!(read.kind == past.kind);
    }

    #[test]
    fn what_was_foretold_is_compared_with_what_came() {
        let mut past = Past::new(kind("red", 1));
        for day in 0..5 {
            past.add(day * 24 * HOUR, Minute { count: 9, worst: 9 });
        }
        past.foretell(4 * 24 * HOUR + 30);
        assert_eq!(past.error(), None);
        past.foretell(4 * 24 * HOUR + 45);
        assert!(past.error().unwrap() < 3.0);
    }
}
