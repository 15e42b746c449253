//! Packets between the engine and its spawner.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};
use soulbox_wire::spawner::{Event, Init, Request};

fn read<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(json: &[u8]) {
    let Ok(message) = serde_json::from_slice::<T>(json) else {
        return;
    };
    let written = serde_json::to_vec(&message).expect("a message can be written");
    assert_eq!(
        message,
        serde_json::from_slice(&written).expect("what was written can be read")
    );
}

fuzz_target!(|data: &[u8]| {
    read::<Init>(data);
    read::<Request>(data);
    read::<Event>(data);
});
