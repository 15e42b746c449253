//! The JSON bodies of a server's own requests.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| soulbox_gateway::fuzz::bodies(data));
