//! The patterns of `${x#pattern}` and its like: `*`, `?`, and `\` before those two.

/// The longest pattern, and the longest value that one is looked for in.
const MAX_PATTERN: usize = 256;
const MAX_VALUE: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Any characters, none too.
    Any,
    /// One character, whichever.
    One,
    Char(char),
}

/// A pattern.
pub(super) struct Pattern(Vec<Part>);

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_PATTERN {
            return Err(format!("a pattern has more than {MAX_PATTERN} bytes"));
        }
        let mut parts = Vec::new();
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            parts.push(match char {
                '*' if parts.last() == Some(&Part::Any) => continue,
                '*' => Part::Any,
                '?' => Part::One,
                '\\' => match chars.next() {
                    Some(escaped @ ('*' | '?' | '\\' | '}' | '/')) => Part::Char(escaped),
                    _ => return Err("\\ in a pattern stands before *, ?, \\, } or /".to_owned()),
                },
                other => Part::Char(other),
            });
        }
        Ok(Self(parts))
    }

    /// The value without the part of its begin that fits.
    pub(super) fn without_begin(&self, value: &str, longest: bool) -> Result<String, String> {
        let chars = bounded(value)?;
        let end = pick(&self.ends(&chars), longest).unwrap_or(0);
        Ok(chars[end..].iter().collect())
    }

    /// The value without the part of its end that fits.
    pub(super) fn without_end(&self, value: &str, longest: bool) -> Result<String, String> {
        let mut chars = bounded(value)?;
        chars.reverse();
        let backward = Self(self.0.iter().rev().copied().collect());
        let end = pick(&backward.ends(&chars), longest).unwrap_or(0);
        Ok(chars[end..].iter().rev().collect())
    }

    /// The value with the first part that fits, or every one, replaced: each as long as can be.
    pub(super) fn replaced(&self, value: &str, other: &str, all: bool) -> Result<String, String> {
        let chars = bounded(value)?;
        let mut result = String::new();
        let mut at = 0;
        let mut last_end = None;
        while at <= chars.len() {
            let end = pick(&self.ends(&chars[at..]), true).map(|length| at + length);
            match end {
                // Nothing fits everywhere, but not behind what was just replaced.
                Some(end) if !(end == at && last_end == Some(at)) => {
                    result.push_str(other);
                    if !all {
                        result.extend(&chars[end..]);
                        return Ok(result);
                    }
                    last_end = Some(end);
                    if end > at {
                        at = end;
                        continue;
                    }
                }
                _ => {}
            }
            result.extend(chars.get(at));
            at += 1;
        }
        Ok(result)
    }

    /// Where a part that begins at the begin and fits may end.
    fn ends(&self, chars: &[char]) -> Vec<usize> {
        // Which parts of the pattern may come next.
        let mut states = vec![false; self.0.len() + 1];
        states[0] = true;
        self.skip(&mut states);
        let mut ends = Vec::new();
        for (at, char) in chars.iter().map(Some).chain([None]).enumerate() {
            if states[self.0.len()] {
                ends.push(at);
            }
            let Some(char) = char else { break };
            let mut next = vec![false; states.len()];
            let mut alive = false;
            for (index, part) in self
                .0
                .iter()
                .enumerate()
                .filter(|(index, _)| states[*index])
            {
                match part {
                    Part::Any => next[index] = true,
                    Part::One => next[index + 1] = true,
                    Part::Char(wanted) if wanted == char => next[index + 1] = true,
                    Part::Char(_) => continue,
                }
                alive = true;
            }
            if !alive {
                break;
            }
            self.skip(&mut next);
            states = next;
        }
        ends
    }

    /// `*` may be nothing.
    fn skip(&self, states: &mut [bool]) {
        for (index, part) in self.0.iter().enumerate() {
            if states[index] && *part == Part::Any {
                states[index + 1] = true;
            }
        }
    }
}

fn pick(ends: &[usize], longest: bool) -> Option<usize> {
    match longest {
        true => ends.last().copied(),
        false => ends.first().copied(),
    }
}

fn bounded(value: &str) -> Result<Vec<char>, String> {
    if value.len() > MAX_VALUE {
        return Err(format!(
            "a value of more than {MAX_VALUE} bytes is too long for a pattern"
        ));
    }
    Ok(value.chars().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_that_fits_is_replaced_once() {
        for (pattern, value, expected) in [
            ("", "ab", "-a-b-"),
            ("*", "ab", "-"),
            ("a", "aab", "--b"),
            ("?", "ab", "--"),
            ("a*b", "xaabbx", "x-x"),
            ("\\*", "a*b", "a-b"),
        ] {
            let pattern_parsed = Pattern::parse(pattern).unwrap();
            assert_eq!(
                pattern_parsed.replaced(value, "-", true).unwrap(),
                expected,
                "{pattern} in {value}"
            );
        }
    }

    #[test]
    fn long_values_are_refused() {
        let pattern = Pattern::parse("*a*b*c").unwrap();
        assert!(
            pattern
                .replaced(&"a".repeat(MAX_VALUE + 1), "", true)
                .is_err()
        );
        assert!(Pattern::parse(&"*a".repeat(MAX_PATTERN)).is_err());
    }
}
