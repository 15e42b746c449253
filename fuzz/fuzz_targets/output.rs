//! What a template's build prints in its sandbox.
#![no_main]

use libfuzzer_sys::fuzz_target;
use soulbox_image::progress::{BuildEvent, Lines};

fn read(output: &[u8], piece: usize) -> Vec<BuildEvent> {
    let mut lines = Lines::default();
    let mut events: Vec<_> = output
        .chunks(piece)
        .flat_map(|piece| lines.feed(piece))
        .collect();
    events.extend(lines.end());
    events
}

fuzz_target!(|data: &[u8]| {
    let Some((first, output)) = data.split_first() else {
        return;
    };
    let events = read(output, output.len().max(1));
    assert_eq!(events, read(output, usize::from(*first).max(1)));
    for event in &events {
        let (BuildEvent::Line(text) | BuildEvent::Phase { text, .. }) = event else {
            panic!("a build's output said {event:?}");
        };
        assert!(
            !text.contains(|letter: char| letter.is_control()),
            "{text:?}"
        );
    }
});
