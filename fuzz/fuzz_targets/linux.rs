//! What Linux tells of processes whose names are hostile, and of mounts.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    soulbox_agent::fuzz::process(data);
    soulbox_runtime::fuzz::process(data);
    if let Ok(text) = str::from_utf8(data) {
        soulbox_node::fuzz::memory_kill(text);
        soulbox_runtime::fuzz::mounts(text);
    }
});
