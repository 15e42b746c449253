//! Watching directories: the streams of `WatchDir`, and watchers that clients ask for news.
//!
//! ```text
//! Linux's inotify ─▶ Watcher (names, directories that appear) ─▶ WatchDir's stream
//!                                                             └▶ kept watchers ◀─ GetWatcherEvents
//! ```

pub(crate) mod kept;
pub(crate) mod stream;
pub(crate) mod watcher;
