//! Uploaded forms, cut into parts by the agent.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| soulbox_agent::fuzz::multipart(data));
