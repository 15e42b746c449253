//! What the fuzz targets (`fuzz/`) reach of this crate beside what is public: readers of what
//! processes, dead spawners and Linux tell. Built with `--cfg fuzzing` only.

use crate::native::cgroup::Layout;
use crate::native::identity::start_in;
use crate::native::journal::parse;

/// The journal of a spawner that was killed.
pub fn journal(text: &[u8]) {
    let found = parse(text);
    let lines = text.split(|byte| *byte == b'\n').count();
    if let Some(found) = &found {
        let told = found.held.len() + found.past.len() + found.unreadable as usize;
        assert!(told < lines, "it tells more than stands there");
    }
    // A last line that was cut short is no error and changes nothing.
    let whole = text.iter().rposition(|byte| *byte == b'\n');
    let whole = text
        .get(..whole.map_or(0, |end| end + 1))
        .unwrap_or_default();
    assert_eq!(parse(whole), found);
    assert_eq!(parse(&[whole, b"{\"back\":{\"sl"].concat()), found);
}

/// The line that Linux tells of a process whose name is `name`: it is the same with any.
pub fn process(name: &[u8]) {
    let _ = start_in(name);
    let stat = |state| {
        [
            b"17 (",
            name,
            b") ",
            state,
            b" 1 16 15 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0 77 0",
        ]
        .concat()
    };
    assert_eq!(start_in(&stat(b"S")), Some(77));
    assert_eq!(start_in(&stat(b"Z")), None);
}

/// The table of mounts of a host, and the groups of a user.
pub fn mounts(text: &str) {
    let layout = Layout::find(text, |_| "cpu memory pids".to_owned());
    check(&layout);
    let (own, table) = text.split_once("\n\n").unwrap_or(("0::/a", text));
    check(&Layout::delegated(table, own, |_, _| {
        Some("cpu memory pids".to_owned())
    }));
}

/// Each controller is somewhere once, or missing.
fn check(layout: &Layout) {
    use crate::native::cgroup::Controller;
    for controller in Controller::ALL {
        let lists = layout.hierarchies.iter().map(|h| &h.controllers);
        let found = lists.chain([&layout.missing]).flatten();
        assert_eq!(
            found.filter(|one| **one == controller).count(),
            1,
            "{layout:?}"
        );
    }
}
