//! The query of a list of sandboxes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(text) = str::from_utf8(data) {
        soulbox_gateway::fuzz::list(text);
    }
});
