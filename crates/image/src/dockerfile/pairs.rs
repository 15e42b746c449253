//! `name=value` pairs of ENV, LABEL and ARG.

use super::error::Problem;

/// The pairs of ENV and LABEL, with quotes and variables as they stand: `a=b c="d e"`, or the old
/// form `a b c`, which is one pair.
pub(super) fn pairs(instruction: &str, text: &str) -> Result<Vec<(String, String)>, Problem> {
    let words = words(text);
    let Some(first) = words.first() else {
        return Err(Problem::new(format!("{instruction} says nothing"))
            .help(format!("write {instruction} NAME=VALUE")));
    };
    if !first.contains('=') {
        let Some((name, value)) = text.trim().split_once(char::is_whitespace) else {
            return Err(Problem::new(format!("{instruction} {first} has no value"))
                .help(format!("write {instruction} {first}=VALUE")));
        };
        return Ok(vec![(name.to_owned(), value.trim_start().to_owned())]);
    }
    words
        .iter()
        .map(|word| match word.split_once('=') {
            Some(("", _)) => Err(Problem::new(format!("{word:?} has no name"))),
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(
                Problem::new(format!("{word:?} is not of the form NAME=VALUE"))
                    .help("put a value with blanks in quotes"),
            ),
        })
        .collect()
}

/// What ARG declares: names, some with a default.
pub(super) fn declarations(text: &str) -> Result<Vec<(String, Option<String>)>, Problem> {
    words(text)
        .into_iter()
        .map(|word| match word.split_once('=') {
            Some(("", _)) => Err(Problem::new(format!("{word:?} has no name"))
                .help("write ARG NAME or ARG NAME=DEFAULT")),
            Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
            None => Ok((word, None)),
        })
        .collect()
}

/// Words between blanks, with their quotes and escapes. A quote without an end takes the rest.
///
/// The character that escapes is `\` here, whatever the file's directive says of lines: a word
/// that ends in the other one is as rare as files for Windows.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match (quote, char) {
            (None, blank) if blank.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            (None, '\'' | '"') => quote = Some(char),
            (Some(open), char) if open == char => quote = None,
            (None | Some('"'), '\\') => {
                word.push(char);
                word.extend(chars.next());
                continue;
            }
            _ => {}
        }
        word.push(char);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_pairs() {
        for (text, expected) in [
            ("a=b", vec![("a", "b")]),
            ("a=b c=d", vec![("a", "b"), ("c", "d")]),
            (
                "a=\"b c\" d='e f' g=h\\ i",
                vec![("a", "\"b c\""), ("d", "'e f'"), ("g", "h\\ i")],
            ),
            ("a=b=c", vec![("a", "b=c")]),
            ("a=", vec![("a", "")]),
            ("a b c=d \"e", vec![("a", "b c=d \"e")]),
            ("a   b", vec![("a", "b")]),
            ("a=$b$c", vec![("a", "$b$c")]),
            ("\"a b\"=c", vec![("\"a b\"", "c")]),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            assert_eq!(pairs("ENV", text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_pair_is_refused() {
        for text in ["", "a", "a=b c", "=b", "a=b =c"] {
            assert!(pairs("ENV", text).is_err(), "{text}");
        }
    }

    #[test]
    fn arguments_may_have_no_default() {
        assert_eq!(
            declarations("a b=c d=\"e f\" g=").unwrap(),
            [
                ("a".to_owned(), None),
                ("b".to_owned(), Some("c".to_owned())),
                ("d".to_owned(), Some("\"e f\"".to_owned())),
                ("g".to_owned(), Some(String::new())),
            ]
        );
        assert!(declarations("=x").is_err());
    }
}
