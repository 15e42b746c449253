//! The headers that the agent reads.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| soulbox_agent::fuzz::headers(data));
