//! Connections to the agent: HTTP, bodies within limits, compressed forms, messages.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| soulbox_agent::fuzz::connection(data));
