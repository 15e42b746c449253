//! Messages of `process.Process` in lenient, strict and broken JSON.

#![allow(clippy::panic, reason = "helpers of tests fail by panicking")]

use proptest::prelude::*;
use serde::Serialize;
use soulbox_wire::envd::process::*;

fn read<T: serde::de::DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

#[test]
fn lenient_forms_are_read() {
    let forms = [
        r#"{"pid":99}"#,
        r#"{"pid":"99"}"#,
        r#"{"pid":99.0}"#,
        r#"{"pid":99,"tag":null}"#,
        r#"{"pid":99,"unknown":{"a":[1,{}]}}"#,
    ];
    for json in forms {
        assert_eq!(
            read::<ProcessSelector>(json),
            ProcessSelector::pid(99),
            "{json}"
        );
    }
    assert_eq!(
        read::<ProcessSelector>(r#"{"pid":null}"#),
        ProcessSelector::default()
    );

    for (json, bytes) in [
        (r#"{"stdin":"+/8="}"#, vec![0xfb, 0xff]),
        (r#"{"stdin":"-_8"}"#, vec![0xfb, 0xff]),
        (r#"{"stdin":"+/8"}"#, vec![0xfb, 0xff]),
        (r#"{"stdin":"-_8="}"#, vec![0xfb, 0xff]),
        (r#"{"stdin":""}"#, vec![]),
    ] {
        assert_eq!(read::<ProcessInput>(json).stdin, Some(bytes), "{json}");
    }
    assert_eq!(read::<ProcessInput>(r#"{"stdin":null}"#).stdin, None);

    for (json, signal) in [
        (r#"{"signal":"SIGNAL_SIGKILL"}"#, Signal::Kill),
        (r#"{"signal":9}"#, Signal::Kill),
        (r#"{"signal":"SIGNAL_SIGTERM"}"#, Signal::Term),
        (r#"{"signal":15}"#, Signal::Term),
        (r#"{"signal":null}"#, Signal::Unspecified),
        (r#"{"signal":77}"#, Signal::Unspecified),
        (r#"{"signal":-1}"#, Signal::Unspecified),
        (r#"{"signal":"SIGNAL_NEW"}"#, Signal::Unspecified),
        (r"{}", Signal::Unspecified),
    ] {
        assert_eq!(read::<SendSignalRequest>(json).signal, signal, "{json}");
    }

    let end = read::<EndEvent>(r#"{"exit_code":"3","exited":true}"#);
    assert_eq!((end.exit_code, end.exited), (3, true));
    let start = read::<StartRequest>(r#"{"process":{"cmd":"x","args":null,"envs":null}}"#);
    assert_eq!(start.process.unwrap().cmd, "x");
}

#[test]
fn wrong_forms_are_refused() {
    for json in [
        r#"{"pid":-1}"#,
        r#"{"pid":1.5}"#,
        r#"{"pid":"x"}"#,
        r#"{"pid":""}"#,
        r#"{"pid":4294967296}"#,
        r#"{"pid":1e300}"#,
        r#"{"pid":[1]}"#,
        r#"{"pid":1,"pid":2}"#,
        r#"{"tag":7}"#,
    ] {
        assert!(
            serde_json::from_str::<ProcessSelector>(json).is_err(),
            "{json}"
        );
    }
    for json in [r#"{"stdin":"*"}"#, r#"{"stdin":7}"#, r#"{"stdin":"a"}"#] {
        assert!(
            serde_json::from_str::<ProcessInput>(json).is_err(),
            "{json}"
        );
    }
}

/// JSON that looks like messages: their field names, and values of every kind.
fn json() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?[0-9]{1,20}(\\.[0-9]{1,3})?(e[0-9]{1,3})?",
        "\"[a-zA-Z0-9+/=_-]{0,12}\"",
        "\"SIGNAL_SIG(TERM|KILL|X)\"",
    ];
    value.prop_recursive(4, 24, 4, |inner| {
        let name = "(process|pid|tag|input|stdin|pty|size|cols|signal|start|data|event|end|exitCode|\
            exit_code|envs|args|cmd|keepalive|x)";
        let object = prop::collection::btree_map(name, inner.clone(), 0..4).prop_map(|fields| {
            let fields = fields.iter().map(|(name, value)| format!("\"{name}\":{value}"));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        });
        let list = prop::collection::vec(inner, 0..3);
        prop_oneof![3 => object, 1 => list.prop_map(|list| format!("[{}]", list.join(",")))]
    })
}

proptest! {
    #[test]
    fn any_json_is_read_without_panic_and_written_as_it_reads(text in json()) {
        fn survives<T>(text: &str) -> Result<(), TestCaseError>
        where
            T: serde::de::DeserializeOwned + Serialize + PartialEq + std::fmt::Debug,
        {
            let Ok(message) = serde_json::from_str::<T>(text) else { return Ok(()) };
            let again = serde_json::to_string(&message).unwrap();
            prop_assert_eq!(serde_json::from_str::<T>(&again).unwrap(), message);
            Ok(())
        }
        survives::<StartRequest>(&text)?;
        survives::<SendInputRequest>(&text)?;
        survives::<StreamInputRequest>(&text)?;
        survives::<SendSignalRequest>(&text)?;
        survives::<UpdateRequest>(&text)?;
        survives::<EventResponse>(&text)?;
    }
}

#[test]
fn defaults_are_left_out() {
    let end = EndEvent {
        exited: true,
        status: "exit status 0".into(),
        ..EndEvent::default()
    };
    let text = r#"{"exited":true,"status":"exit status 0"}"#;
    assert_eq!(serde_json::to_string(&end).unwrap(), text);
    let start = StartRequest {
        stdin: Some(false),
        ..StartRequest::default()
    };
    assert_eq!(serde_json::to_string(&start).unwrap(), r#"{"stdin":false}"#);
}
