//! Jupyter's messages: those that the bridge sends, and those that arrive. The latter are read leniently: many kernels
//! leave out what the specification asks for, and one that is not understood would leave a cell without its end.

use crate::signature::Key;
use crate::zmtp::{self, Message};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use soulbox_model::Moment;
use tokio::sync::OwnedSemaphorePermit;

/// The version of Jupyter's protocol.
const VERSION: &str = "5.3";

/// What stands between the way of a message and the message.
const DELIMITER: &[u8] = b"<IDS|MSG>";

/// What the bridge asks of a kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Request<'a> {
    /// Which kernel it is.
    Info,
    /// Runs code; `silent` code does not count and shows no value.
    Execute { code: &'a str, silent: bool },
    /// Answers a question of the kernel's with nothing.
    NoInput,
    /// Interrupts the cell that runs.
    Interrupt,
    /// Ends the kernel.
    Shutdown,
}

impl Request<'_> {
    fn kind(self) -> &'static str {
        match self {
            Self::Info => "kernel_info_request",
            Self::Execute { .. } => "execute_request",
            Self::NoInput => "input_reply",
            Self::Interrupt => "interrupt_request",
            Self::Shutdown => "shutdown_request",
        }
    }

    fn content(self) -> serde_json::Value {
        match self {
            Self::Info | Self::Interrupt => json!({}),
            Self::NoInput => json!({"status": "ok", "value": ""}),
            Self::Shutdown => json!({"restart": false}),
            Self::Execute { code, silent } => json!({
                "code": code,
                "silent": silent,
                "store_history": !silent,
                "user_expressions": {},
                "allow_stdin": false,
                "stop_on_error": false,
            }),
        }
    }

    /// The message, as it is sent.
    pub(crate) fn message(self, id: &str, session: &str, key: &Key) -> Vec<u8> {
        let header = json!({
            "msg_id": id,
            "msg_type": self.kind(),
            "session": session,
            "username": "user",
            "date": Moment::now().to_string(),
            "version": VERSION,
        });
        let (header, content) = (header.to_string(), self.content().to_string());
        let parts: [&[u8]; 4] = [header.as_bytes(), b"{}", b"{}", content.as_bytes()];
        let signature = key.sign(&parts);
        let [header, parent, metadata, content] = parts;
        let signature = signature.as_bytes();
        zmtp::message(&[DELIMITER, signature, header, parent, metadata, content])
    }
}

/// A message that has arrived.
#[derive(Debug)]
pub(crate) struct Heard {
    /// Its type.
    pub(crate) kind: String,
    /// The request that it is about.
    pub(crate) parent: Option<String>,
    /// None when it was too large to be kept.
    content: Option<Bytes>,
    /// What it takes of the room for messages that wait, until it is dropped.
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Header {
    msg_id: Option<String>,
    msg_type: Option<String>,
}

/// The fields that the bridge looks at, of all types of messages.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Content {
    pub(crate) status: Option<String>,
    pub(crate) execution_state: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) ename: Option<String>,
    pub(crate) evalue: Option<String>,
    pub(crate) traceback: Option<Vec<String>>,
    pub(crate) data: Option<Box<RawValue>>,
    pub(crate) implementation: Option<String>,
}

/// Why the content of a message is not known.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("the kernel has sent more than can be passed on")]
    TooLarge,
    #[error("the kernel has sent what is no JSON, or not of the form that Jupyter's messages have")]
    Form,
}

impl Heard {
    /// A message that is signed with the key; none for others. What is too large to be kept was not looked at whole:
    /// of such a message only the type and the request are told.
    pub(crate) fn new(message: &Message, key: &Key) -> Option<Self> {
        let at = message.parts.iter().position(|part| part == DELIMITER)?;
        let [signature, header, parent, metadata, content, ..] = message.parts.get(at + 1..)?
        else {
            return None;
        };
        let signed: [&[u8]; 4] = [header, parent, metadata, content];
        if message.is_whole && !key.is_right(signature, &signed) {
            return None;
        }
        let header: Header = serde_json::from_slice(header).ok()?;
        let parent: Header = serde_json::from_slice(parent).unwrap_or_default();
        Some(Self {
            kind: header.msg_type?,
            parent: parent.msg_id,
            content: message.is_whole.then(|| content.clone()),
            room: None,
        })
    }

    /// What it says.
    pub(crate) fn content(&self) -> Result<Content, Unreadable> {
        let content = self.content.as_ref().ok_or(Unreadable::TooLarge)?;
        serde_json::from_slice(content).map_err(|_| Unreadable::Form)
    }

    #[cfg(test)]
    pub(crate) fn of(kind: &str, parent: &str, content: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            parent: Some(parent.to_owned()),
            content: Some(Bytes::copy_from_slice(content.as_bytes())),
            room: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new("key").unwrap()
    }

    /// A message as a kernel sends it.
    fn said(header: &str, parent: &str, content: &str) -> Message {
        let parts: [&[u8]; 4] = [
            header.as_bytes(),
            parent.as_bytes(),
            b"{}",
            content.as_bytes(),
        ];
        let signature = key().sign(&parts);
        let all = [&[&b"way"[..], DELIMITER, signature.as_bytes()], &parts[..]].concat();
        Message {
            parts: all
                .iter()
                .map(|part| Bytes::copy_from_slice(part))
                .collect(),
            is_whole: true,
        }
    }

    #[test]
    fn messages_of_any_kernel_are_read() {
        let read = |header, parent, content| Heard::new(&said(header, parent, content), &key());
        let heard = read(r#"{"msg_type": "status"}"#, "{}", "{}").unwrap();
        assert_eq!((heard.kind.as_str(), heard.parent), ("status", None));
        assert!(read("{}", "{}", "{}").is_none());
        assert!(read("[", "{}", "{}").is_none());
        let reply = r#"{"status": "abort", "extra": [1]}"#;
        let heard = read(
            r#"{"msg_type": "execute_reply"}"#,
            r#"{"msg_id": "7"}"#,
            reply,
        )
        .unwrap();
        assert_eq!(heard.parent.as_deref(), Some("7"));
        assert_eq!(heard.content().unwrap().status.as_deref(), Some("abort"));
        for content in ["{", r#"{"data": NaN}"#, r#"{"text": "\ud800"}"#] {
            let heard = read(r#"{"msg_type": "stream"}"#, "{}", content).unwrap();
            assert_eq!(heard.content().unwrap_err(), Unreadable::Form, "{content}");
        }
    }

    #[test]
    fn messages_of_others_are_passed_over() {
        let mut message = said(r#"{"msg_type": "status"}"#, "{}", "{}");
        assert!(Heard::new(&message, &Key::new("other").unwrap()).is_none());
        for length in 0..message.parts.len() {
            let parts = message.parts[..length].to_vec();
            let cut = Message {
                parts,
                is_whole: true,
            };
            assert!(Heard::new(&cut, &key()).is_none(), "{length}");
        }
        message.is_whole = false;
        let heard = Heard::new(&message, &key()).unwrap();
        assert_eq!(heard.content().unwrap_err(), Unreadable::TooLarge);
    }

    #[test]
    fn requests_are_signed_and_say_what_they_want() {
        let request = Request::Execute {
            code: "1",
            silent: true,
        };
        let bytes = request.message("7", "s", &key());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let message = runtime
            .block_on(zmtp::receive(&mut &bytes[..], 10_000))
            .unwrap();
        let heard = Heard::new(&message, &key()).unwrap();
        assert_eq!(heard.kind, "execute_request");
        let content: serde_json::Value = serde_json::from_slice(&message.parts[5]).unwrap();
        assert_eq!(
            (&content["code"], &content["store_history"]),
            (&json!("1"), &json!(false))
        );
    }
}
