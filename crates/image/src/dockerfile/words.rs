//! Quotes and variables in an instruction's words, as Docker replaces them: `$x`, `${x}`,
//! `${x:-y}`, `${x:+y}`, `${x:?y}`, the same without the colon, `${x#y}`, `${x##y}`, `${x%y}`,
//! `${x%%y}`, `${x/y/z}` and `${x//y/z}`.

use super::error::Problem;
use super::glob;

/// The longest word after everything in it is replaced: what Linux takes as one argument.
pub(super) const MAX_WORD: usize = 128 << 10;
/// How deep `${a:-${b:-…}}` may go.
const MAX_DEPTH: usize = 32;

/// Replaces what is in one word.
pub(super) struct Words<'a> {
    /// What a variable is worth.
    pub(super) value: &'a dyn Fn(&str) -> Option<String>,
    /// What keeps the next character from meaning something.
    pub(super) escape: char,
    /// Whether quotes are kept, as in here-documents.
    pub(super) keep_quotes: bool,
}

/// A word with everything replaced.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Replaced {
    pub(super) text: String,
    /// Variables that nothing has set.
    pub(super) unset: Vec<String>,
}

impl Words<'_> {
    /// The word without its quotes and with its variables replaced.
    pub(super) fn replace(&self, word: &str) -> Result<Replaced, Problem> {
        let mut reader = Reader {
            words: self,
            chars: word.chars().collect(),
            at: 0,
            depth: 0,
            unset: Vec::new(),
        };
        let text = reader
            .until(None, false)
            .map_err(|problem| Problem::new(format!("{problem} in {word:?}")))?;
        Ok(Replaced {
            text,
            unset: reader.unset,
        })
    }
}

struct Reader<'a> {
    words: &'a Words<'a>,
    chars: Vec<char>,
    at: usize,
    depth: usize,
    unset: Vec<String>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek();
        self.at += usize::from(next.is_some());
        next
    }

    /// Everything up to `stop`, which is taken too, or to the end. Patterns keep their escapes.
    fn until(&mut self, stop: Option<char>, keep_escapes: bool) -> Result<String, String> {
        let mut text = String::new();
        loop {
            if text.len() > MAX_WORD {
                return Err(format!("more than {} KiB in a word", MAX_WORD >> 10));
            }
            let Some(char) = self.next() else {
                return match stop {
                    None => Ok(text),
                    Some(stop) => Err(format!("{stop} is missing behind ${{")),
                };
            };
            match char {
                _ if Some(char) == stop => return Ok(text),
                '$' => text.push_str(&self.variable()?),
                '\'' if !self.words.keep_quotes => self.single(&mut text)?,
                '"' if !self.words.keep_quotes => self.double(&mut text, keep_escapes)?,
                _ if char == self.words.escape => {
                    if keep_escapes {
                        text.push(char);
                    }
                    text.extend(self.next());
                }
                _ => text.push(char),
            }
        }
    }

    fn single(&mut self, text: &mut String) -> Result<(), String> {
        loop {
            match self.next() {
                None => return Err("a quote ' has no end".to_owned()),
                Some('\'') => return Ok(()),
                Some(char) => text.push(char),
            }
        }
    }

    fn double(&mut self, text: &mut String, keep_escapes: bool) -> Result<(), String> {
        loop {
            if text.len() > MAX_WORD {
                return Err(format!("more than {} KiB in a word", MAX_WORD >> 10));
            }
            match self.next() {
                None => return Err("a quote \" has no end".to_owned()),
                Some('"') => return Ok(()),
                Some('$') => text.push_str(&self.variable()?),
                Some(char) if char == self.words.escape => {
                    if keep_escapes {
                        text.push(char);
                    }
                    match self.peek() {
                        None => {}
                        Some(next @ ('"' | '$')) => {
                            self.at += 1;
                            text.push(next);
                        }
                        Some(next) if next == char => {
                            self.at += 1;
                            text.push(next);
                        }
                        // Before anything else it stands for itself.
                        Some(_) => text.push(char),
                    }
                }
                Some(char) => text.push(char),
            }
        }
    }

    /// What stands behind a `$`.
    fn variable(&mut self) -> Result<String, String> {
        if self.peek() != Some('{') {
            let name = self.name();
            return Ok(match name.is_empty() {
                true => "$".to_owned(),
                false => self.value(&name).unwrap_or_default(),
            });
        }
        self.at += 1;
        if matches!(self.peek(), None | Some('{' | '}' | ':')) {
            return Err("a name is missing behind ${".to_owned());
        }
        if self.depth == MAX_DEPTH {
            return Err(format!(
                "more than {MAX_DEPTH} variables inside of each other"
            ));
        }
        self.depth += 1;
        let name = self.name();
        let value = self.modified(&name);
        self.depth -= 1;
        value
    }

    fn modified(&mut self, name: &str) -> Result<String, String> {
        let modifier = self.next();
        let (modifier, empty_counts) = match modifier {
            Some(':') => (self.next(), false),
            other => (other, true),
        };
        let is_set = |value: &Option<String>| {
            value
                .as_ref()
                .is_some_and(|value| empty_counts || !value.is_empty())
        };
        match modifier {
            Some('}') if empty_counts => Ok(self.value(name).unwrap_or_default()),
            Some('-') => {
                let other = self.until(Some('}'), false)?;
                let value = (self.words.value)(name);
                Ok(if is_set(&value) {
                    value.unwrap_or_default()
                } else {
                    other
                })
            }
            Some('+') => {
                let other = self.until(Some('}'), false)?;
                let value = (self.words.value)(name);
                Ok(if is_set(&value) { other } else { String::new() })
            }
            Some('?') => {
                let message = self.until(Some('}'), false)?;
                let value = (self.words.value)(name);
                if is_set(&value) {
                    return Ok(value.unwrap_or_default());
                }
                Err(match (message.is_empty(), value.is_some()) {
                    (false, _) => format!("{name}: {message}"),
                    (true, false) => format!("{name} must be set"),
                    (true, true) => format!("{name} must not be empty"),
                })
            }
            Some(kind @ ('#' | '%')) if empty_counts => {
                let pattern = self.until(Some('}'), true)?;
                let (longest, pattern) = match pattern.strip_prefix(kind) {
                    Some(pattern) => (true, pattern),
                    None => (false, pattern.as_str()),
                };
                let pattern = glob::Pattern::parse(pattern)?;
                let value = self.value(name).unwrap_or_default();
                match kind {
                    '#' => pattern.without_begin(&value, longest),
                    _ => pattern.without_end(&value, longest),
                }
            }
            Some('/') if empty_counts => {
                let all = self.peek() == Some('/');
                self.at += usize::from(all);
                let pattern = self.until(Some('/'), true)?;
                let other = self.until(Some('}'), true)?;
                let value = self.value(name).unwrap_or_default();
                glob::Pattern::parse(&pattern)?.replaced(&value, &other, all)
            }
            None => Err("} is missing behind ${".to_owned()),
            Some(other) => Err(format!(
                "${{{name}{}{other}…}} is nothing that a Dockerfile knows",
                if empty_counts { "" } else { ":" }
            )),
        }
    }

    /// A name of letters, digits and `_`, one number, or one of the shell's special names.
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.peek() {
            Some(char @ ('@' | '*' | '#' | '?' | '-' | '$' | '!')) => {
                self.at += 1;
                name.push(char);
            }
            Some(first) if first.is_ascii_digit() => {
                while let Some(digit) = self.peek().filter(char::is_ascii_digit) {
                    self.at += 1;
                    name.push(digit);
                }
            }
            _ => {
                while let Some(char) = self.peek().filter(|c| c.is_alphanumeric() || *c == '_') {
                    self.at += 1;
                    name.push(char);
                }
            }
        }
        name
    }

    fn value(&mut self, name: &str) -> Option<String> {
        let value = (self.words.value)(name);
        if value.is_none() && !self.unset.iter().any(|known| known == name) {
            self.unset.push(name.to_owned());
        }
        value
    }
}

#[cfg(test)]
mod tests;
