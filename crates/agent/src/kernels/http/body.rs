//! Bodies of requests. What is wrong with one is told in FastAPI's words, all of it at once.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A value of the client's that is shown to it again has at most so many bytes as JSON.
const SHOWN: usize = 200;

/// The fields of a body, and what is wrong with them.
#[derive(Debug)]
pub(crate) struct Fields {
    all: Map<String, Value>,
    wrong: Vec<Value>,
}

impl Fields {
    /// Reads an object.
    ///
    /// # Errors
    /// The list of what is wrong.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Value> {
        if body.is_empty() {
            return Err(json!([missing(&["body"], &Value::Null)]));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(all)) => Ok(Self {
                all,
                wrong: Vec::new(),
            }),
            Ok(other) => Err(json!([{
                "type": "model_attributes_type", "loc": ["body"],
                "msg": "Input should be a valid dictionary or object to extract fields from",
                "input": shown(&other),
            }])),
            Err(error) => Err(json!([{
                "type": "json_invalid", "loc": ["body", error.column()], "msg": "JSON decode error", "input": {},
                "ctx": { "error": error.to_string() },
            }])),
        }
    }

    /// As [`Fields::read`]; a body that is not there has no fields.
    pub(crate) fn read_optional(body: &[u8]) -> Result<Self, Value> {
        Self::read(if body.is_empty() { b"{}" } else { body })
    }

    /// A text that must be there.
    pub(crate) fn required_text(&mut self, name: &str) -> String {
        if !self.all.contains_key(name) {
            let all = Value::Object(self.all.clone());
            self.wrong.push(missing(&["body", name], &all));
            return String::new();
        }
        match self.all.remove(name) {
            Some(Value::String(text)) => text,
            other => self.no_text(&["body", name], &other.unwrap_or_default()),
        }
    }

    /// A text that may be left out, or null, or empty, which is the same.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let text = match self.all.remove(name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text,
            Some(other) => self.no_text(&["body", name], &other),
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// Texts by their names. They may be left out.
    pub(crate) fn texts(&mut self, name: &str) -> BTreeMap<String, String> {
        let all = match self.all.remove(name) {
            None | Some(Value::Null) => return BTreeMap::new(),
            Some(Value::Object(all)) => all,
            Some(other) => {
                let message = "Input should be a valid dictionary";
                self.refuse("dict_type", &["body", name], message, &other);
                return BTreeMap::new();
            }
        };
        let mut texts = BTreeMap::new();
        for (key, value) in all {
            let text = match value {
                Value::String(text) => text,
                other => self.no_text(&["body", name, &key], &other),
            };
            texts.insert(key, text);
        }
        texts
    }

    fn no_text(&mut self, place: &[&str], input: &Value) -> String {
        let message = "Input should be a valid string";
        self.refuse("string_type", place, message, input);
        String::new()
    }

    fn refuse(&mut self, kind: &str, place: &[&str], message: &str, input: &Value) {
        let wrong = json!({ "type": kind, "loc": place, "msg": message, "input": shown(input) });
        self.wrong.push(wrong);
    }

    /// The list of what is wrong, if anything is.
    pub(crate) fn finish(self) -> Result<(), Value> {
        match self.wrong.is_empty() {
            true => Ok(()),
            false => Err(Value::Array(self.wrong)),
        }
    }
}

fn missing(place: &[&str], input: &Value) -> Value {
    json!({ "type": "missing", "loc": place, "msg": "Field required", "input": shown(input) })
}

/// What a client sent, if it is short.
fn shown(value: &Value) -> Value {
    match value.to_string().len() <= SHOWN {
        true => value.clone(),
        false => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Read = (String, Option<String>, BTreeMap<String, String>);

    fn execute(body: &[u8]) -> Result<Read, Value> {
        let mut fields = Fields::read(body)?;
        let read = (
            fields.required_text("code"),
            fields.text("language"),
            fields.texts("env_vars"),
        );
        fields.finish().map(|()| read)
    }

    #[test]
    fn fields_are_read() {
        let body = br#"{"code": "1", "language": null, "env_vars": {"A": "b"}, "other": 1}"#;
        let variables = BTreeMap::from([("A".to_owned(), "b".to_owned())]);
        assert_eq!(execute(body), Ok(("1".to_owned(), None, variables)));
        let body = br#"{"code": "", "language": "bash"}"#;
        let bash = Some("bash".to_owned());
        assert_eq!(execute(body), Ok((String::new(), bash, BTreeMap::new())));
        assert!(Fields::read_optional(b"").is_ok());
    }

    #[test]
    fn what_is_wrong_is_told_in_fastapis_words() {
        let wrong = |body: &[u8]| execute(body).unwrap_err();
        assert_eq!(
            wrong(b"{}"),
            json!([{"type": "missing", "loc": ["body", "code"], "msg": "Field required", "input": {}}])
        );
        assert_eq!(wrong(b"")[0]["loc"], json!(["body"]));
        assert_eq!(wrong(b"[1]")[0]["type"], "model_attributes_type");
        for broken in [&b"{"[..], b"\xff", b"nul", br#"{"code": "\ud800"}"#] {
            assert_eq!(wrong(broken)[0]["type"], "json_invalid", "{broken:?}");
        }
        let all = wrong(br#"{"code": 5, "language": [], "env_vars": {"A": 1, "B": "b"}}"#);
        let text = |place: Value, input: Value| json!({"type": "string_type", "loc": place, "msg": "Input should be a valid string", "input": input});
        assert_eq!(
            all,
            json!([
                text(json!(["body", "code"]), json!(5)),
                text(json!(["body", "language"]), json!([])),
                text(json!(["body", "env_vars", "A"]), json!(1)),
            ])
        );
        assert_eq!(
            wrong(br#"{"code": "", "env_vars": []}"#)[0]["type"],
            "dict_type"
        );
        let long = json!({"a": "x".repeat(1000)}).to_string();
        assert_eq!(wrong(long.as_bytes())[0]["input"], Value::Null);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = execute(&bytes);
        }
    }
}
