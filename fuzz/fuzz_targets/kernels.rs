//! What a kernel in a sandbox says on its socket, and the texts that decide about kernels.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    soulbox_agent::fuzz::kernel(data);
    if let Ok(text) = str::from_utf8(data) {
        soulbox_agent::fuzz::kernel_text(text);
    }
});
