//! Tar files of layers: nothing beside the tree is written, whatever is in them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use soulbox_image::oci::unpack::{UnpackLimits, unpack};
use std::fs;

fuzz_target!(|data: &[u8]| {
    let Ok(ground) = tempfile::tempdir() else {
        return;
    };
    let tree = ground.path().join("tree");
    if fs::create_dir(&tree).is_err() {
        return;
    }
    let limits = UnpackLimits {
        bytes: 1 << 20,
        ..UnpackLimits::default()
    };
    // A checksum is nothing that a fuzzer finds: it is made right for each header that may be one.
    let mut tar = data.to_vec();
    for block in tar.chunks_exact_mut(512) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    for tar in [data, &tar] {
        let _ = unpack(tar, &tree, &limits);
        let names = fs::read_dir(ground.path()).map(|names| names.count());
        assert_eq!(names.ok(), Some(1));
    }
});
