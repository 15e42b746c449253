//! Lines of an `/execute` stream: each a JSON object in ASCII and a line's end, so that clients
//! which cut bytes anywhere never cut a character.

use crate::calendar;
use crate::kernels::said::Said;
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::time::SystemTime;

/// One line.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Line<'a> {
    NumberOfExecutions {
        execution_count: u64,
    },
    Stdout {
        text: &'a str,
        timestamp: String,
    },
    Stderr {
        text: &'a str,
        timestamp: String,
    },
    Result(Shown<'a>),
    Error {
        name: &'a str,
        value: &'a str,
        traceback: &'a str,
    },
    Keepalive,
    EndOfExecution,
}

/// The value of a cell, or what it displayed.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    is_main_result: bool,
    data: &'a BTreeMap<String, &'a RawValue>,
}

/// Which field has what MIME type. All others go into `extra`.
const FIELDS: [(&str, &str); 13] = [
    ("text/plain", "text"),
    ("text/html", "html"),
    ("text/markdown", "markdown"),
    ("image/svg+xml", "svg"),
    ("image/png", "png"),
    ("image/jpeg", "jpeg"),
    ("application/pdf", "pdf"),
    ("text/latex", "latex"),
    ("application/json", "json"),
    ("application/javascript", "javascript"),
    ("e2b/data", "data"),
    ("e2b/chart", "chart"),
    ("e2b/extra", "extra"),
];

fn field(mime: &str) -> Option<&'static str> {
    let found = FIELDS.iter().find(|(known, _)| *known == mime);
    found
        .map(|(_, field)| *field)
        .filter(|field| *field != "extra")
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("is_main_result", &self.is_main_result)?;
        let mut extra = BTreeMap::new();
        for (mime, value) in self.data {
            match field(mime) {
                _ if value.get() == "null" => {}
                Some("text") => match serde_json::from_str::<String>(value.get()) {
                    Ok(text) => map.serialize_entry("text", without_quotes(&text))?,
                    Err(_) => map.serialize_entry("text", value)?,
                },
                Some(field) => map.serialize_entry(field, value)?,
                None => {
                    extra.insert(mime, value);
                }
            }
        }
        map.serialize_entry("extra", &extra)?;
        map.end()
    }
}

/// A text without the pair of quotes around it: what `repr` puts around a string. E2B's clients
/// expect it so.
fn without_quotes(text: &str) -> &str {
    let inner = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    inner('\'').or_else(|| inner('"')).unwrap_or(text)
}

impl<'a> Line<'a> {
    /// The line that tells what a kernel said; `None` when that is not for clients.
    pub(crate) fn of(said: &'a Said<'a>) -> Option<Self> {
        let text = said.text.as_deref().unwrap_or_default();
        match &*said.kind {
            "count" => said
                .execution_count
                .map(|execution_count| Self::NumberOfExecutions { execution_count }),
            "stdout" => Some(Self::Stdout {
                text,
                timestamp: now(),
            }),
            "stderr" => Some(Self::Stderr {
                text,
                timestamp: now(),
            }),
            "result" => Some(Self::Result(Shown {
                is_main_result: said.is_main_result.unwrap_or_default(),
                data: said.data.as_ref()?,
            })),
            "error" => Some(Self::Error {
                name: said.name.as_deref().unwrap_or_default(),
                value: said.value.as_deref().unwrap_or_default(),
                traceback: said.traceback.as_deref().unwrap_or_default(),
            }),
            _ => None,
        }
    }

    /// Adds it to `bytes`.
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        if serde_json::to_writer(&mut *bytes, self).is_err() {
            bytes.truncate(start);
            return;
        }
        escape_from(bytes, start);
        bytes.push(b'\n');
    }
}

/// Writes what is not ASCII from `start` on as escapes. In JSON that stands in strings only.
fn escape_from(bytes: &mut Vec<u8>, start: usize) {
    let Some(first) = bytes
        .get(start..)
        .and_then(|line| line.iter().position(|byte| !byte.is_ascii()))
    else {
        return;
    };
    let rest = bytes.split_off(start + first);
    bytes.reserve(rest.len() * 2);
    for piece in rest.utf8_chunks() {
        for character in piece.valid().chars() {
            if character.is_ascii() {
                bytes.push(character as u8);
                continue;
            }
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                escape_unit(bytes, *unit);
            }
        }
    }
}

fn escape_unit(bytes: &mut Vec<u8>, unit: u16) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        let digit = usize::from(unit >> shift & 0xf);
        bytes.extend(DIGITS.get(digit));
    }
}

/// The time as Python writes it: `2026-11-21T08:09:10.123456+00:00`.
fn now() -> String {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let mut text = calendar::rfc3339(seconds, 0);
    text.pop();
    text.push_str(&format!(".{:06}+00:00", since.subsec_micros()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn written(frame: &Value) -> Option<Value> {
        let frame = frame.to_string();
        let said = Said::read(frame.as_bytes()).unwrap();
        let mut bytes = b"before".to_vec();
        Line::of(&said)?.write(&mut bytes);
        let line = bytes.strip_prefix(b"before").unwrap();
        assert!(line.is_ascii());
        let (end, line) = line.split_last().unwrap();
        assert!(*end == b'\n' && !line.contains(&b'\n'));
        Some(serde_json::from_slice(line).unwrap())
    }

    #[test]
    fn lines_have_their_clients_names() {
        let count = json!({"type": "count", "id": "1", "execution_count": 2});
        let expected = json!({"type": "number_of_executions", "execution_count": 2});
        assert_eq!(written(&count), Some(expected));
        let out = written(&json!({"type": "stdout", "id": "1", "text": "a\nb"})).unwrap();
        assert_eq!(
            (&out["type"], &out["text"]),
            (&json!("stdout"), &json!("a\nb"))
        );
        let time = out["timestamp"].as_str().unwrap();
        assert!(time.len() == 32 && time.ends_with("+00:00"), "{time}");
        let error = json!({"type": "error", "id": "1", "name": "E", "value": "v"});
        let expected = json!({"type": "error", "name": "E", "value": "v", "traceback": ""});
        assert_eq!(written(&error), Some(expected));
        for other in ["ready", "end", "new"] {
            assert_eq!(written(&json!({"type": other})), None);
        }
        let mut bytes = Vec::new();
        Line::Keepalive.write(&mut bytes);
        Line::EndOfExecution.write(&mut bytes);
        assert_eq!(
            bytes,
            b"{\"type\":\"keepalive\"}\n{\"type\":\"end_of_execution\"}\n"
        );
    }

    #[test]
    fn results_are_told_by_field_and_the_rest_is_extra() {
        let data = json!({
            "text/plain": "'a'", "image/png": "aGk=", "application/json": [1, {"a": null}],
            "e2b/chart": {}, "application/x-other": "x", "e2b/extra": 1, "text/html": null,
        });
        let line = written(&json!({"type": "result", "is_main_result": true, "data": data}));
        let expected = json!({
            "type": "result", "is_main_result": true, "text": "a", "png": "aGk=", "json": [1, {"a": null}],
            "chart": {}, "extra": {"application/x-other": "x", "e2b/extra": 1},
        });
        assert_eq!(line, Some(expected));
        let line = written(&json!({"type": "result", "data": {}})).unwrap();
        assert_eq!(
            line,
            json!({"type": "result", "is_main_result": false, "extra": {}})
        );
    }

    #[test]
    fn one_pair_of_quotes_is_taken_away() {
        for (text, bare) in [
            ("'a'", "a"),
            ("\"a\"", "a"),
            ("''a''", "'a'"),
            ("'a\"", "'a\""),
            ("'", "'"),
            ("''", ""),
            ("a", "a"),
            ("", ""),
        ] {
            assert_eq!(without_quotes(text), bare, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_through_as_ascii(text in any::<String>()) {
            let line = written(&json!({"type": "stderr", "text": text})).unwrap();
            prop_assert_eq!(&line["text"], &json!(text));
            let data = json!({"text/html": text, text.clone(): [text.clone()]});
            let line = written(&json!({"type": "result", "data": data})).unwrap();
            prop_assert_eq!(&line["html"], &json!(text));
        }
    }
}
