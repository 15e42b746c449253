//! What the fuzz targets (`fuzz/`) reach of this crate beside what is public: readers of what
//! Linux and dead engines tell. Built with `--cfg fuzzing` only.

use crate::lease::ID_BASE;
use crate::memory_kill::find;
use crate::note::Note;
use crate::past::Ended;

/// Linux's words about a killed process whose name is `name`: they mean the same with any.
pub fn memory_kill(name: &str) {
    let _ = find(name);
    // A record of the log is one line; Linux escapes what would end it.
    let name: String = name.chars().filter(|letter| *letter != '\n').collect();
    let uid = ID_BASE + 5 * 65_536 + 1000;
    let record = format!(
        "6,1402,5622440510,-;Memory cgroup out of memory: Killed process 7421 ({name}) \
         total-vm:313040kB, anon-rss:60000kB, file-rss:6000kB, shmem-rss:0kB, UID:{uid} \
         pgtables:180kB oom_score_adj:500\n"
    );
    let found = find(&record);
    assert!(
        found
            .as_ref()
            .is_some_and(|(slot, kill)| *slot == 5 && kill.held.0 == 66_000 * 1024),
        "{found:?}"
    );
    assert!(found.is_some_and(|(_, kill)| !kill.process.contains(char::is_control)));
}

/// A line of the list of what ended while nobody was there, and the note of a sandbox.
pub fn ended(line: &[u8]) {
    if let Ok(note) = serde_json::from_slice::<Note>(line) {
        let written = serde_json::to_vec(&note).unwrap_or_default();
        assert_eq!(serde_json::from_slice::<Note>(&written).ok(), Some(note));
    }
    if let Ok(ended) = serde_json::from_slice::<Ended>(line) {
        let written = serde_json::to_vec(&ended).unwrap_or_default();
        assert_eq!(serde_json::from_slice::<Ended>(&written).ok(), Some(ended));
    }
}
