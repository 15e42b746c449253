//! What a kernel says (`kernels/python/README.md`). Code in it may say anything on its socket; what
//! is not understood is passed over.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A frame of a kernel's.
#[derive(Debug, Deserialize)]
pub(crate) struct Said<'a> {
    #[serde(rename = "type", borrow)]
    pub(crate) kind: Cow<'a, str>,
    /// The request that it belongs to.
    #[serde(default, borrow)]
    pub(crate) id: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(crate) execution_count: Option<u64>,
    #[serde(default)]
    pub(crate) text: Option<String>,
    #[serde(default)]
    pub(crate) is_main_result: Option<bool>,
    /// Values by their MIME types, as they were written.
    #[serde(default, borrow)]
    pub(crate) data: Option<BTreeMap<String, &'a RawValue>>,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) value: Option<String>,
    #[serde(default)]
    pub(crate) traceback: Option<String>,
}

impl<'a> Said<'a> {
    /// Reads a frame; `None` for one that no kernel of ours would say.
    pub(crate) fn read(frame: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(frame).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_are_read_and_others_passed_over() {
        let said =
            Said::read(br#"{"type":"count","id":"1","execution_count":3,"new":[1]}"#).unwrap();
        assert_eq!((&*said.kind, said.execution_count), ("count", Some(3)));
        let said = Said::read(br#"{"type":"stdout","id":null,"text":"a\n"}"#).unwrap();
        assert_eq!(
            (said.id.as_deref(), said.text.as_deref()),
            (None, Some("a\n"))
        );
        let said =
            Said::read(br#"{"type":"result","id":"1","data":{"text/plain":"'a'","x":[1.50]}}"#)
                .unwrap();
        assert_eq!(said.data.unwrap()["x"].get(), "[1.50]");
        for wrong in [
            &b""[..],
            b"[]",
            b"{}",
            b"{\"type\":1}",
            b"\xff",
            b"{\"type\":\"a\",\"data\":{\"a\":NaN}}",
        ] {
            assert!(Said::read(wrong).is_none(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Said::read(&bytes);
        }
    }
}
