//! What can be said to a running kernel only in its own language: variables and directories.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Why a kernel cannot be told something.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WordsError {
    #[error("a kernel of '{0}' takes variables and a directory only when it is started")]
    Unknown(String),
    #[error(
        "variable {0:?} cannot be set: a name has no '=', and neither it nor its value a zero byte"
    )]
    Variable(String),
}

/// A language in which a kernel can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    R,
    Python,
}

impl Words {
    /// Those of the language that a description names.
    pub(crate) fn of(language: &str) -> Result<Self, WordsError> {
        match language.to_lowercase().as_str() {
            "r" => Ok(Self::R),
            "python" => Ok(Self::Python),
            _ => Err(WordsError::Unknown(language.to_owned())),
        }
    }

    /// Code that sets variables from now on; none takes one away.
    pub(crate) fn change(
        self,
        variables: &BTreeMap<String, Option<String>>,
    ) -> Result<String, WordsError> {
        let mut code = String::new();
        for (name, value) in variables {
            check(name, value.as_deref().unwrap_or_default())?;
            let name = self.quoted(name);
            let value = value.as_deref().map(|value| self.quoted(value));
            let _ = match (self, value) {
                (Self::R, Some(value)) => writeln!(
                    code,
                    "do.call(Sys.setenv, stats::setNames(list({value}), {name}))"
                ),
                (Self::R, None) => writeln!(code, "Sys.unsetenv({name})"),
                (Self::Python, Some(value)) => {
                    writeln!(code, "__import__('os').environ[{name}] = {value}")
                }
                (Self::Python, None) => {
                    writeln!(code, "__import__('os').environ.pop({name}, None)")
                }
            };
        }
        Ok(code)
    }

    /// Code that sets variables until [`Self::give_back`].
    pub(crate) fn lend(self, variables: &BTreeMap<String, String>) -> Result<String, WordsError> {
        let names: Vec<_> = variables.keys().map(|name| self.quoted(name)).collect();
        let names = names.join(", ");
        let keep = match self {
            Self::R => {
                format!(
                    "options(soulbox.lent = Sys.getenv(c({names}), unset = NA, names = TRUE))\n"
                )
            }
            Self::Python => format!(
                "__import__('sys').soulbox_lent = {{n: __import__('os').environ.get(n) for n in ({names},)}}\n"
            ),
        };
        let lasting = variables.iter();
        let lasting = lasting.map(|(name, value)| (name.clone(), Some(value.clone())));
        Ok(keep + &self.change(&lasting.collect())?)
    }

    /// Code that brings back what was before [`Self::lend`].
    pub(crate) fn give_back(self) -> &'static str {
        match self {
            Self::R => {
                "local({\n  b <- getOption(\"soulbox.lent\")\n  g <- is.na(b)\n  Sys.unsetenv(names(b)[g])\n  \
                 if (any(!g)) do.call(Sys.setenv, as.list(b[!g]))\n  options(soulbox.lent = NULL)\n})\n"
            }
            Self::Python => {
                "for _n, _v in __import__('sys').__dict__.pop('soulbox_lent').items():\n    \
                 __import__('os').environ.pop(_n, None) if _v is None else __import__('os').environ.update({_n: _v})\n\
                 del _n, _v\n"
            }
        }
    }

    /// Code that changes the directory.
    pub(crate) fn directory(self, path: &str) -> Result<String, WordsError> {
        check("directory", path)?;
        let path = self.quoted(path);
        Ok(match self {
            Self::R => format!("setwd({path})\n"),
            Self::Python => format!("__import__('os').chdir({path})\n"),
        })
    }

    /// `text` as a literal of the language, in ASCII.
    fn quoted(self, text: &str) -> String {
        let mut quoted = String::from("\"");
        for character in text.chars() {
            let code = u32::from(character);
            let _ = match character {
                '"' | '\\' => write!(quoted, "\\{character}"),
                ' '..='~' => write!(quoted, "{character}"),
                _ => write!(quoted, "\\U{code:08x}"),
            };
        }
        quoted.push('"');
        quoted
    }
}

fn check(name: &str, value: &str) -> Result<(), WordsError> {
    let bad = name.is_empty() || name.contains(['=', '\0']) || value.contains('\0');
    match bad {
        true => Err(WordsError::Variable(name.to_owned())),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_leaves_its_literal() {
        let hostile = "a\"; quit() #\\\n'\u{e4}";
        let expected = r#""a\"; quit() #\\\U0000000a'\U000000e4""#;
        assert_eq!(Words::R.quoted(hostile), expected);
        assert_eq!(Words::Python.quoted(hostile), expected);
    }

    #[test]
    fn languages_are_known_by_their_name_in_any_case() {
        assert_eq!(Words::of("R"), Ok(Words::R));
        assert!(Words::of("julia").is_err());
    }

    #[test]
    fn what_no_variable_can_be_is_refused() {
        for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "x\0")] {
            let one = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            assert!(Words::R.lend(&one).is_err(), "{name:?} {value:?}");
        }
    }
}
