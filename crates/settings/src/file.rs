//! `soulbox.toml`, flattened to keys with their lines.

use crate::load::SettingError;
use crate::value::Raw;
use std::collections::BTreeMap;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value in the file and the line that its key is on, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The text of the value.
    pub raw: Raw,
    /// The line of the key.
    pub line: usize,
}

/// Reads the text of `soulbox.toml` at `path` (for messages only) into dotted keys.
///
/// # Errors
/// [`SettingError::Syntax`] when it is not TOML, or holds a value of a kind that no setting has.
pub fn parse(path: &Path, text: &str) -> Result<BTreeMap<String, Line>, SettingError> {
    let table = DeTable::parse(text).map_err(|error| SettingError::Syntax {
        path: path.to_owned(),
        line: error.span().map_or(1, |span| line_of(text, span.start)),
        reason: error.message().to_owned(),
    })?;
    let mut lines = BTreeMap::new();
    flatten("", table.get_ref(), &mut |key, at, value| {
        let line = line_of(text, at);
        let raw = raw(value).ok_or_else(|| SettingError::Syntax {
            path: path.to_owned(),
            line,
            reason: format!("{key} is a {}, which no setting is", value.type_str()),
        })?;
        lines.insert(key, Line { raw, line });
        Ok(())
    })?;
    Ok(lines)
}

type Visit<'v> = &'v mut dyn FnMut(String, usize, &DeValue<'_>) -> Result<(), SettingError>;

fn flatten(prefix: &str, table: &DeTable<'_>, visit: Visit<'_>) -> Result<(), SettingError> {
    for (name, value) in table {
        let key = match prefix {
            "" => name.get_ref().to_string(),
            _ => format!("{prefix}.{}", name.get_ref()),
        };
        match value.get_ref() {
            DeValue::Table(inner) => flatten(&key, inner, visit)?,
            other => visit(key, name.span().start, other)?,
        }
    }
    Ok(())
}

/// The text of a value; none for kinds that no setting has.
fn raw(value: &DeValue<'_>) -> Option<Raw> {
    if let DeValue::Array(items) = value {
        let texts = items.iter().map(Spanned::get_ref).map(scalar);
        return texts.collect::<Option<_>>().map(Raw::List);
    }
    scalar(value).map(Raw::One)
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(word) => Some(word.to_string()),
        _ => None,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    before.filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Result<BTreeMap<String, Line>, SettingError> {
        parse(Path::new("soulbox.toml"), text)
    }

    #[test]
    fn keys_are_flattened_with_their_lines() {
        let lines = lines("data_dir = '/x'\n\n[network]\nipv6 = true\nallow = ['10.0.0.0/8']\n");
        let lines = lines.unwrap();
        assert_eq!(lines["data_dir"].raw, Raw::One("/x".into()));
        assert_eq!(lines["network.ipv6"].line, 4);
        assert_eq!(
            lines["network.allow"].raw,
            Raw::List(vec!["10.0.0.0/8".into()])
        );
    }

    #[test]
    fn wrong_syntax_names_the_line() {
        let error = lines("a = 1\nb = = 2\n").unwrap_err();
        assert!(
            matches!(error, SettingError::Syntax { line: 2, .. }),
            "{error}"
        );
    }

    #[test]
    fn dates_and_arrays_of_tables_are_refused() {
        for bad in ["a = 2020-01-01", "[[a]]\nb = 1", "a = [[1]]"] {
            assert!(
                matches!(lines(bad), Err(SettingError::Syntax { .. })),
                "{bad}"
            );
        }
    }
}
