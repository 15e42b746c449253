//! What is said to a kernel (`kernels/python/README.md`).

use serde::Serialize;
use std::collections::BTreeMap;

/// A request to a kernel. It ends each with an `end` of the same id.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Ask<'a> {
    /// Runs a cell.
    Execute {
        id: &'a str,
        code: &'a str,
        /// Variables for this cell alone.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        env: &'a BTreeMap<String, String>,
    },
    /// Sets variables from now on; `None` takes one away.
    SetEnv {
        id: &'a str,
        env: BTreeMap<&'a str, Option<&'a str>>,
    },
    /// Changes the directory.
    Cd { id: &'a str, path: &'a str },
}

/// Whether every language can have a variable of that name. Kernels take all variables of a
/// request or none, so others are set by a request of their own.
pub(crate) fn is_plain(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next();
    first.is_some_and(|first| first == b'_' || first.is_ascii_alphabetic())
        && bytes.all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

/// The changes that make the variables `before` those of `after`.
pub(crate) fn changes<'a>(
    before: &'a BTreeMap<String, String>,
    after: &'a BTreeMap<String, String>,
) -> BTreeMap<&'a str, Option<&'a str>> {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let gone = gone.map(|name| (name.as_str(), None));
    let set = after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(value));
    gone.chain(set.map(|(name, value)| (name.as_str(), Some(value.as_str()))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn requests_are_written_as_the_protocol_says() {
        let none = BTreeMap::new();
        let one = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        let execute = |env| Ask::Execute {
            id: "7",
            code: "x",
            env,
        };
        let json_of = |ask: Ask<'_>| serde_json::to_value(ask).unwrap();
        assert_eq!(
            json_of(execute(&none)),
            json!({"type": "execute", "id": "7", "code": "x"})
        );
        assert_eq!(json_of(execute(&one))["env"], json!({"A": "1"}));
        let two = BTreeMap::from([("B".to_owned(), "2".to_owned())]);
        assert_eq!(
            json_of(Ask::SetEnv {
                id: "e",
                env: changes(&one, &two)
            }),
            json!({"type": "set_env", "id": "e", "env": {"A": null, "B": "2"}})
        );
        assert!(changes(&two, &two).is_empty());
        assert_eq!(
            json_of(Ask::Cd { id: "c", path: "/" }),
            json!({"type": "cd", "id": "c", "path": "/"})
        );
    }

    #[test]
    fn names_that_all_languages_take() {
        for name in ["A", "_", "a_1", "PATH"] {
            assert!(is_plain(name), "{name}");
        }
        for name in ["", "1A", "a-b", "a.b", "ä", "a=b", "a\0"] {
            assert!(!is_plain(name), "{name}");
        }
    }
}
