//! Engines that are gone while their spawner and sandboxes go on.
//!
//! Such an engine looks alive to others: its spawner holds its locks. One that is to last and has
//! the same run and data directories takes its place: name, directories, locks, slots and all.

use crate::node::NodeError;
use crate::workplace::{ENGINES, Places, Workplace, names};
use soulbox_runtime::native::driver::{AttachError, Attached, Held, NativeDriver};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long an engine that ends may still seem to live, and how often to look.
const ENDING: Duration = Duration::from_millis(500);
const AGAIN: Duration = Duration::from_millis(20);

/// What an engine left that is gone.
pub(crate) struct Orphan {
    /// Its directories.
    pub(crate) workplace: Workplace,
    /// Its spawner.
    pub(crate) driver: NativeDriver,
    /// What runs.
    pub(crate) held: Vec<Held>,
}

/// Takes over what an engine with these directories left, if one did.
///
/// # Errors
/// [`NodeError::Busy`] when such an engine lives.
pub(crate) async fn find(
    (machine_dir, run_dir, data_dir): (&Path, &Path, &Path),
    limit: Duration,
) -> Result<Option<Orphan>, NodeError> {
    for name in names(&machine_dir.join(ENGINES)) {
        let noted = machine_dir.join(ENGINES).join(&name);
        let Some(places) = Places::read(&noted) else {
            continue;
        };
        let ours = places.run.starts_with(run_dir) && places.data.starts_with(data_dir);
        if !ours || !places.meeting_place().exists() {
            continue;
        }
        let attached = patiently(&places.meeting_place(), limit).await?;
        let Attached {
            driver,
            held,
            locks,
        } = match attached {
            Ok(attached) => attached,
            // It has ended, and is reclaimed like any other.
            Err(AttachError::Absent) => continue,
            Err(AttachError::Busy(pid)) => {
                return Err(NodeError::Busy {
                    data_dir: data_dir.to_owned(),
                    pid,
                });
            }
            Err(error) => return Err(error.into()),
        };
        return Ok(Some(Orphan {
            workplace: Workplace::adopt(noted, places, locks),
            driver,
            held,
        }));
    }
    Ok(None)
}

/// Connects to a spawner; tries again while an engine that is just ending works with it.
async fn patiently(
    place: &Path,
    limit: Duration,
) -> Result<Result<Attached, AttachError>, NodeError> {
    let begin = Instant::now();
    loop {
        let attached = tokio::time::timeout(limit, NativeDriver::attach(place))
            .await
            .map_err(|_| NodeError::Timeout(limit))?;
        match attached {
            Err(AttachError::Busy(_)) if begin.elapsed() < ENDING => {
                tokio::time::sleep(AGAIN).await;
            }
            attached => return Ok(attached),
        }
    }
}
