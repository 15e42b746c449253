//! The agent's messages in both directions: what was read is written so that it reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};
use soulbox_wire::commands;
use soulbox_wire::connect::{EndStream, RpcError};
use soulbox_wire::envd::filesystem::{
    EntryResponse, FilesystemEvent, ListDirRequest, ListDirResponse, MoveRequest, PathRequest,
    WatchDirResponse, WatchRequest, WatcherEvents, WatcherId,
};
use soulbox_wire::envd::http::{ComposeRequest, HttpError, InitRequest, Metrics, WrittenFile};
use soulbox_wire::envd::process::{
    EventResponse, ListResponse, SelectRequest, SendInputRequest, SendSignalRequest, StartRequest,
    StreamInputRequest, UpdateRequest,
};

fn read<T: Serialize + DeserializeOwned>(json: &[u8]) {
    let Ok(message) = serde_json::from_slice::<T>(json) else {
        return;
    };
    let written = serde_json::to_vec(&message).expect("a message can be written");
    let again: T = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(written, serde_json::to_vec(&again).expect("twice"));
}

macro_rules! read_as {
    ($number:expr, $json:expr, $($type:ty),* $(,)?) => {{
        let readers: &[fn(&[u8])] = &[$(read::<$type>),*];
        readers[usize::from($number) % readers.len()]($json);
    }};
}

fuzz_target!(|data: &[u8]| {
    let Some((number, json)) = data.split_first() else {
        return;
    };
    read_as!(
        *number,
        json,
        EndStream,
        RpcError,
        EntryResponse,
        FilesystemEvent,
        ListDirRequest,
        ListDirResponse,
        MoveRequest,
        PathRequest,
        WatchDirResponse,
        WatchRequest,
        WatcherEvents,
        WatcherId,
        ComposeRequest,
        HttpError,
        InitRequest,
        Metrics,
        WrittenFile,
        EventResponse,
        ListResponse,
        SelectRequest,
        SendInputRequest,
        SendSignalRequest,
        StartRequest,
        StreamInputRequest,
        UpdateRequest,
        commands::Request,
        commands::Event,
    );
});
