//! `.dockerignore`: which files of a context do not exist for the build.

use super::pattern::Pattern;

/// The most bytes of such a file, and the most patterns in it.
pub(super) const MAX_BYTES: u64 = 1 << 20;
const MAX_PATTERNS: usize = 10_000;

/// Patterns in their order; of those that fit a path, the last one decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ignore {
    patterns: Vec<(bool, Pattern)>,
    /// Whether some pattern takes files back in.
    returns: bool,
}

impl Ignore {
    /// Reads the text of such a file. The number in an error is a line.
    pub(super) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut ignore = Self::default();
        for (index, line) in text.lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            ignore.add(line).map_err(|problem| (index + 1, problem))?;
        }
        Ok(ignore)
    }

    /// The patterns of a COPY's `--exclude`.
    pub(super) fn of_patterns(patterns: &[String]) -> Result<Self, String> {
        let mut ignore = Self::default();
        for pattern in patterns {
            ignore.add(pattern)?;
        }
        Ok(ignore)
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let line = line.trim();
        let (returns, pattern) = match line.strip_prefix('!') {
            Some(pattern) => (true, pattern.trim()),
            None => (false, line),
        };
        if pattern.is_empty() {
            return match returns {
                true => Err("nothing follows the !".to_owned()),
                false => Ok(()),
            };
        }
        if self.patterns.len() == MAX_PATTERNS {
            return Err(format!("more than {MAX_PATTERNS} patterns"));
        }
        let pattern = Pattern::ignore(&clean(pattern))?;
        self.returns |= returns;
        self.patterns.push((returns, pattern));
        Ok(())
    }

    /// What the patterns above say about the children of a directory: for its root, nothing.
    pub(super) fn above(&self) -> Above {
        Above(vec![false; self.patterns.len()])
    }

    /// Whether `path`, below the root and without one at its begin, is left out. A pattern that
    /// fits a directory fits everything in it.
    pub(super) fn verdict(&self, above: &Above, path: &str) -> (bool, Above) {
        let mut fits = above.0.clone();
        let mut left_out = false;
        for (fit, (returns, pattern)) in fits.iter_mut().zip(&self.patterns) {
            *fit = *fit || pattern.fits(path);
            if *fit {
                left_out = !returns;
            }
        }
        (left_out, Above(fits))
    }

    /// Whether something in a directory that is left out may be in after all.
    pub(super) fn may_return(&self) -> bool {
        self.returns
    }

    /// [`Ignore::verdict`] from the root on.
    pub(super) fn leaves_out(&self, path: &str) -> bool {
        let mut above = self.above();
        let mut left_out = false;
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
            (left_out, above) = self.verdict(&above, &path[..end]);
        }
        left_out
    }
}

/// Which patterns fit a directory.
#[derive(Debug, Clone)]
pub(super) struct Above(Vec<bool>);

/// The pattern without `.`, `..`, doubled and outer `/`, as in Go's `filepath.Clean`.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            // Above the root there is nothing.
            ".." if pattern.starts_with('/') => {}
            part => parts.push(part),
        }
    }
    match parts.is_empty() {
        // The root itself, which no path is.
        true => ".".to_owned(),
        false => parts.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of `paths` are left out.
    fn out(text: &str, paths: &[&'static str]) -> Vec<&'static str> {
        let ignore = Ignore::parse(text).unwrap();
        let out = paths.iter().filter(|path| ignore.leaves_out(path));
        out.copied().collect()
    }

    #[test]
    fn comments_blanks_and_slashes() {
        let text = "\u{feff}# a\n\n  b  \n/c/\n./d//e/../f\n #x\n";
        assert_eq!(
            out(text, &["a", "b", "c", "c/x", "d/f", "d/e", "#x", "x/b"]),
            ["b", "c", "c/x", "d/f", "#x"]
        );
    }

    #[test]
    fn the_last_pattern_that_fits_decides() {
        assert_eq!(
            out(
                "*.md\n!README*.md\nREADME-secret.md",
                &["a.md", "README.md", "README-secret.md"]
            ),
            ["a.md", "README-secret.md"]
        );
        assert_eq!(
            out(
                "*.md\nREADME-secret.md\n!README*.md",
                &["a.md", "README.md", "README-secret.md"]
            ),
            ["a.md"]
        );
    }

    #[test]
    fn files_in_a_directory_that_is_left_out_may_return() {
        assert_eq!(
            out(
                "*\n!src\n!docs/*.md\nsrc/secret",
                &[
                    "a",
                    "src",
                    "src/x/y",
                    "src/secret/k",
                    "docs",
                    "docs/a.md",
                    "docs/b"
                ]
            ),
            ["a", "src/secret/k", "docs", "docs/b"]
        );
    }

    #[test]
    fn two_stars_are_any_directories() {
        assert_eq!(
            out(
                "**/node_modules\n**/*.pyc\n!keep.pyc",
                &[
                    "node_modules/a",
                    "x/node_modules/b/c",
                    "a.pyc",
                    "x/y.pyc",
                    "keep.pyc",
                    "x"
                ]
            ),
            ["node_modules/a", "x/node_modules/b/c", "a.pyc", "x/y.pyc"]
        );
    }

    #[test]
    fn lines_that_mean_nothing_are_refused_with_their_number() {
        assert_eq!(Ignore::parse("a\n!\n").unwrap_err().0, 2);
        assert_eq!(Ignore::parse("\n\n[a").unwrap_err().0, 3);
    }
}
