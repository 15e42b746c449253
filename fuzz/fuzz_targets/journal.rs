//! What a killed spawner wrote down, and what is kept of it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    soulbox_runtime::fuzz::journal(data);
    soulbox_node::fuzz::ended(data);
});
