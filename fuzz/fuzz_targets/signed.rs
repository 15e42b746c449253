//! Signed URLs: what the server checks and what the agent reads is the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(query) = str::from_utf8(data) else {
        return;
    };
    let Some((query, path, user)) = soulbox_gateway::fuzz::signed(query) else {
        return;
    };
    for (name, signed) in [("path", path), ("username", user)] {
        // A query that the agent cannot read it refuses.
        if let Some(read) = soulbox_agent::fuzz::query_value(&query, name) {
            assert_eq!(read.unwrap_or_default(), signed, "{name} of {query}");
        }
    }
});
