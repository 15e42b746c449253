//! The last changes, for those who watch. Watchers hold a place in it and nothing of their own, so a
//! slow one costs no memory: it is told that it lost its place.

use crate::bounds;
use crate::entry::Revision;
use crate::key::Span;
use crate::watch::{Batch, Change, Watch, WatchError};
use futures_util::stream;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The last changes. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct History {
    kept: Arc<Mutex<Kept>>,
    /// The newest revision; closed with the store.
    newest: watch::Receiver<Revision>,
}

#[derive(Debug)]
struct Kept {
    /// One for each revision after `floor`, without gaps.
    batches: VecDeque<Arc<Batch>>,
    /// Changes after this one are known.
    floor: Revision,
    /// The newest revision that a reader may have found, told or not.
    announced: Revision,
    changes: usize,
    bytes: usize,
    /// How many changes are kept.
    limit: usize,
}

/// The one who adds to the history. When it is dropped, watches end.
#[derive(Debug)]
pub(crate) struct Publisher {
    kept: Arc<Mutex<Kept>>,
    newest: watch::Sender<Revision>,
}

/// A history that begins after `revision` and keeps `limit` changes.
pub(crate) fn begin(revision: Revision, limit: usize) -> (Publisher, History) {
    let kept = Arc::new(Mutex::new(Kept {
        batches: VecDeque::new(),
        floor: revision,
        announced: revision,
        changes: 0,
        bytes: 0,
        limit,
    }));
    let (sender, newest) = watch::channel(revision);
    let publisher = Publisher {
        kept: Arc::clone(&kept),
        newest: sender,
    };
    (publisher, History { kept, newest })
}

impl Publisher {
    /// Says that a revision is on its way to the disk.
    pub(crate) fn announce(&self, revision: Revision) {
        lock(&self.kept).announced = revision;
    }

    /// Adds what is on disk now: the batches of the next revisions, in order.
    pub(crate) fn publish(&self, batches: Vec<Batch>) {
        let Some(newest) = batches.last().map(|batch| batch.revision) else {
            return;
        };
        {
            let mut kept = lock(&self.kept);
            kept.announced = newest.max(kept.announced);
            for batch in batches {
                kept.add(batch);
            }
        }
        self.newest.send_replace(newest);
    }
}

impl Kept {
    fn add(&mut self, batch: Batch) {
        self.changes += batch.changes.len();
        self.bytes += bytes(&batch);
        self.batches.push_back(Arc::new(batch));
        while self.changes > self.limit || self.bytes > bounds::HISTORY_BYTES {
            let Some(oldest) = self.batches.pop_front() else {
                break;
            };
            self.changes -= oldest.changes.len();
            self.bytes -= bytes(&oldest);
            self.floor = oldest.revision;
        }
    }

    /// The batches after a revision, or none if they are no longer known.
    fn after(&self, revision: Revision) -> Option<impl Iterator<Item = &Arc<Batch>>> {
        let skipped = revision.0.checked_sub(self.floor.0)?;
        Some(self.batches.iter().skip(usize::try_from(skipped).ok()?))
    }
}

fn bytes(batch: &Batch) -> usize {
    let of = |change: &Change| match change {
        Change::Put(entry) => entry.key.len() + entry.value.len(),
        Change::Removed(key) => key.len(),
    };
    batch.changes.iter().map(of).sum()
}

impl History {
    /// A watch of `span` after a revision, or after now.
    pub(crate) fn watch(&self, span: Span, after: Option<Revision>) -> Result<Watch, WatchError> {
        let mut newest = self.newest.clone();
        let after = after.unwrap_or(*newest.borrow_and_update());
        {
            let kept = lock(&self.kept);
            if after > kept.announced {
                let now = kept.announced;
                return Err(WatchError::Ahead { after, now });
            }
            if kept.after(after).is_none() {
                return Err(WatchError::Lost { after });
            }
        }
        let place = Place {
            kept: Arc::clone(&self.kept),
            newest,
            span,
            after,
        };
        Ok(Watch::new(stream::unfold(
            Some(place),
            |place| async move {
                let mut place = place?;
                let next = place.next().await;
                let on = next.is_ok().then_some(place);
                Some((next, on))
            },
        )))
    }
}

/// Where a watch is.
struct Place {
    kept: Arc<Mutex<Kept>>,
    newest: watch::Receiver<Revision>,
    span: Span,
    /// All up to here was told.
    after: Revision,
}

impl Place {
    async fn next(&mut self) -> Result<Batch, WatchError> {
        loop {
            self.newest.borrow_and_update();
            if let Some(batch) = self.find()? {
                return Ok(batch);
            }
            if self.newest.changed().await.is_err() {
                // What came just before the end is still told.
                return self.find()?.ok_or(WatchError::Closed);
            }
        }
    }

    /// The next batch with a change in the span; moves past what has none.
    fn find(&mut self) -> Result<Option<Batch>, WatchError> {
        let kept = lock(&self.kept);
        let batches = kept.after(self.after);
        for batch in batches.ok_or(WatchError::Lost { after: self.after })? {
            self.after = batch.revision;
            let inside = |change: &&Change| self.span.contains(change.key());
            let changes: Vec<Change> = batch.changes.iter().filter(inside).cloned().collect();
            if !changes.is_empty() {
                return Ok(Some(Batch {
                    revision: batch.revision,
                    changes,
                }));
            }
        }
        Ok(None)
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    // Nothing that holds it can panic half-way through a change.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn removed(revision: u64, key: &str) -> Batch {
        Batch {
            revision: Revision(revision),
            changes: vec![Change::Removed(key.into())],
        }
    }

    #[test]
    fn watcher_that_falls_behind_is_told() {
        let (publisher, history) = begin(Revision(7), 2);
        let mut slow = history.watch(Span::prefix("a"), None).unwrap();
        assert!(slow.next().now_or_never().is_none());
        publisher.publish(vec![removed(8, "a"), removed(9, "b"), removed(10, "a")]);
        let lost = Err(WatchError::Lost { after: Revision(7) });
        assert_eq!(slow.next().now_or_never().unwrap(), lost);
        assert_eq!(slow.next().now_or_never().unwrap(), Err(WatchError::Closed));
        let mut quick = history.watch(Span::prefix("a"), Some(Revision(8))).unwrap();
        assert_eq!(quick.next().now_or_never().unwrap().unwrap().revision.0, 10);
        assert!(quick.next().now_or_never().is_none());
        drop(publisher);
        assert_eq!(
            quick.next().now_or_never().unwrap(),
            Err(WatchError::Closed)
        );
    }

    #[test]
    fn places_outside_of_the_history_are_refused() {
        let (publisher, history) = begin(Revision(7), 2);
        publisher.publish(vec![removed(8, "a")]);
        let watch = |revision| {
            let watch = history.watch(Span::prefix(""), Some(Revision(revision)));
            watch.map(|_| ()).unwrap_err()
        };
        assert!(matches!(watch(6), WatchError::Lost { .. }));
        assert!(matches!(watch(9), WatchError::Ahead { .. }));
        // Who read it before it was told may watch from it.
        publisher.announce(Revision(9));
        let mut early = history.watch(Span::prefix("a"), Some(Revision(9))).unwrap();
        publisher.publish(vec![removed(9, "a"), removed(10, "a")]);
        assert_eq!(early.next().now_or_never().unwrap().unwrap().revision.0, 10);
    }
}
