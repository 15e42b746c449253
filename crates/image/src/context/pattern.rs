//! Patterns of paths: those of `.dockerignore`, where `**` is any number of directories, and those
//! of COPY's sources, where it means no more than `*`.

/// The longest pattern.
const MAX_PATTERN: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// `*`: any characters but `/`.
    Name,
    /// `**` at the end: everything.
    All,
    /// `**/` or `**` before more: any directories, or, going on two parts later, none.
    Optional,
    /// The directories themselves, which end with a `/`. Always behind [`Part::Optional`].
    Directories,
    /// `?`: one character but `/`.
    One,
    /// `[a-z]`, `[^a-z]`.
    Class(bool, Vec<(char, char)>),
    Char(char),
}

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Part>);

impl Pattern {
    /// A pattern of `.dockerignore`.
    pub(super) fn ignore(text: &str) -> Result<Self, String> {
        // `**name` with nothing else special is the end of any path; `**/name` a name anywhere.
        if let Some(rest) = text.strip_prefix("**")
            && !rest.is_empty()
            && !rest.starts_with('/')
            && !rest.contains(['*', '?', '[', '\\'])
        {
            let mut parts = vec![Part::All];
            parts.extend(rest.chars().map(Part::Char));
            return Ok(Self(parts));
        }
        parse(text, true)
    }

    /// A pattern for one part of a source's path.
    pub(super) fn source(text: &str) -> Result<Self, String> {
        parse(text, false)
    }

    /// Whether all of `path` fits.
    pub(super) fn fits(&self, path: &str) -> bool {
        let parts = &self.0;
        // Which parts may come next, as in a machine with a state for each.
        let mut states = vec![false; parts.len() + 1];
        states[0] = true;
        skip(parts, &mut states);
        for char in path.chars() {
            let mut next = vec![false; states.len()];
            for (index, part) in parts.iter().enumerate() {
                if !states[index] {
                    continue;
                }
                match part {
                    Part::All => next[index] = true,
                    Part::Directories => {
                        next[index] = true;
                        if char == '/' {
                            next[index + 1] = true;
                        }
                    }
                    Part::Name if char != '/' => next[index] = true,
                    Part::One if char != '/' => next[index + 1] = true,
                    Part::Class(not, ranges) if char != '/' => {
                        let inside = ranges
                            .iter()
                            .any(|(from, to)| (*from..=*to).contains(&char));
                        next[index + 1] |= inside != *not;
                    }
                    Part::Char(wanted) if *wanted == char => next[index + 1] = true,
                    _ => {}
                }
            }
            skip(parts, &mut next);
            states = next;
        }
        states[parts.len()]
    }
}

/// Parts that may be nothing.
fn skip(parts: &[Part], states: &mut [bool]) {
    for (index, part) in parts.iter().enumerate() {
        if !states[index] {
            continue;
        }
        match part {
            Part::Name | Part::All => states[index + 1] = true,
            Part::Optional => {
                states[index + 1] = true;
                states[index + 2] = true;
            }
            _ => {}
        }
    }
}

fn parse(text: &str, double: bool) -> Result<Pattern, String> {
    if text.len() > MAX_PATTERN {
        return Err(format!("it has more than {MAX_PATTERN} bytes"));
    }
    let mut parts = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let part = match char {
            '*' if double && chars.peek() == Some(&'*') => {
                chars.next();
                if chars.peek() == Some(&'/') {
                    chars.next();
                }
                match chars.peek() {
                    None => Part::All,
                    Some(_) => {
                        parts.push(Part::Optional);
                        Part::Directories
                    }
                }
            }
            '*' => Part::Name,
            '?' => Part::One,
            '[' => class(&mut chars)?,
            '\\' => Part::Char(chars.next().ok_or("nothing follows its last \\")?),
            other => Part::Char(other),
        };
        parts.push(part);
    }
    Ok(Pattern(parts))
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Part, String> {
    let open = || "a [ in it has no ]".to_owned();
    let not = chars.peek() == Some(&'^');
    if not {
        chars.next();
    }
    let mut ranges = Vec::new();
    let mut char = || match chars.next() {
        Some('\\') => chars.next().map(|char| (char, true)),
        other => other.map(|char| (char, false)),
    };
    let mut ahead = char();
    loop {
        let from = match ahead {
            Some((']', false)) if !ranges.is_empty() => return Ok(Part::Class(not, ranges)),
            Some((']' | '-', false)) => return Err("a [] in it is empty or begins with -".into()),
            Some((from, _)) => from,
            None => return Err(open()),
        };
        ahead = char();
        if ahead != Some(('-', false)) {
            ranges.push((from, from));
            continue;
        }
        match char() {
            Some((']', false)) => return Err("a range in its [] has no end".into()),
            Some((to, _)) => ranges.push((from, to)),
            None => return Err(open()),
        }
        ahead = char();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_of_the_ignore_file() {
        for (pattern, path, fits) in [
            ("a", "a", true),
            ("a", "b/a", false),
            ("*", "a", true),
            ("*", "a/b", false),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("*.txt", "a.txt", true),
            ("*.txt", "d/a.txt", false),
            ("*/a", "d/a", true),
            ("*/a", "d/e/a", false),
            ("**", "a/b/c", true),
            ("**/a", "a", true),
            ("**/a", "d/e/a", true),
            ("**/a", "d/ea", false),
            ("**a", "d/ea", true),
            ("**/*.go", "x/y/z.go", true),
            ("**/*.go", "z.go", true),
            ("d/**", "d/e/f", true),
            ("d/**", "d", false),
            ("d/**/f", "d/f", true),
            ("d/**/f", "d/e/g/f", true),
            ("d/**/f", "d/ef", false),
            ("d**/f", "dx/f", true),
            ("**/d/**/f", "x/d/y/f", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[a-cx-z]", "y", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            (".git", ".git", true),
            ("a.b", "axb", false),
            ("a+(b)", "a+(b)", true),
        ] {
            let parsed = Pattern::ignore(pattern).unwrap();
            assert_eq!(parsed.fits(path), fits, "{pattern} and {path}");
        }
    }

    #[test]
    fn patterns_that_mean_nothing_are_refused() {
        for pattern in ["[", "[]", "[a", "[a-", "[a-]", "[-a]", "a\\", "[]a]", "[^]"] {
            assert!(Pattern::ignore(pattern).is_err(), "{pattern}");
            assert!(Pattern::source(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn two_stars_are_one_in_a_source() {
        let pattern = Pattern::source("**x").unwrap();
        assert!(pattern.fits("ax") && !pattern.fits("a/x"));
    }

    proptest! {
        #[test]
        fn any_pattern_is_read_or_refused(pattern in "[a-c*?\\[\\]^/\\\\-]{0,20}", path in "[a-c/]{0,20}") {
            if let Ok(pattern) = Pattern::ignore(&pattern) {
                let _ = pattern.fits(&path);
            }
        }

        #[test]
        fn a_path_fits_itself(path in "[a-z0-9./_-]{0,30}") {
            prop_assert!(Pattern::ignore(&path).unwrap().fits(&path));
        }
    }
}
