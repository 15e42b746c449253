//! Queries, paths, accounts and process states, read by the agent.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(text) = str::from_utf8(data) {
        soulbox_agent::fuzz::query(text);
        soulbox_agent::fuzz::path(text);
        soulbox_agent::fuzz::accounts(text);
    }
});
