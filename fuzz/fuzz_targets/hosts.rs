//! Which sandbox the head of a request names.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| soulbox_gateway::fuzz::host(data));
