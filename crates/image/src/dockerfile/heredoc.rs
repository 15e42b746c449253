//! Which here-documents an instruction names.

/// A here-document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heredoc {
    /// The word that ends it, without quotes.
    pub(super) name: String,
    /// The word as it stands in the instruction, with `<<`.
    pub(super) word: String,
    /// Whether variables in it are replaced: no part of its word is quoted.
    pub(super) expand: bool,
    /// Whether tabs at the begin of its lines are dropped: `<<-`.
    pub(super) chomp: bool,
    /// The lines between, each with its end.
    pub(super) content: String,
}

impl Heredoc {
    /// The content without the tabs that `<<-` drops.
    pub(super) fn chomped(&self) -> String {
        if !self.chomp {
            return self.content.clone();
        }
        self.content
            .split_inclusive('\n')
            .map(|line| line.trim_start_matches('\t'))
            .collect()
    }
}

/// The here-documents that an instruction names, empty still.
pub(super) fn named_in(text: &str) -> Vec<Heredoc> {
    if !text.contains("<<") {
        return Vec::new();
    }
    let Some(arguments) = arguments_of(text) else {
        return Vec::new();
    };
    match split(arguments) {
        Some(words) => words.iter().filter_map(|word| of_word(word)).collect(),
        None => Vec::new(),
    }
}

/// What follows the name of an instruction that may have here-documents.
fn arguments_of(text: &str) -> Option<&str> {
    let (name, arguments) = text.split_once([' ', '\t'])?;
    let arguments = arguments.trim_start();
    match name.to_ascii_uppercase().as_str() {
        "ONBUILD" => arguments_of(arguments),
        // The form of JSON has no here-documents.
        "RUN" | "COPY" | "ADD" if !is_json(arguments) => Some(arguments),
        _ => None,
    }
}

fn is_json(arguments: &str) -> bool {
    let mut rest = arguments;
    while rest.starts_with("--") {
        rest = rest
            .split_once([' ', '\t'])
            .map_or("", |(_, rest)| rest)
            .trim_start();
    }
    rest.starts_with('[') && serde_json::from_str::<Vec<String>>(rest).is_ok()
}

/// One word as a here-document: `<<EOF`, `<<-EOF`, `3<<"EOF"`.
pub(super) fn of_word(word: &str) -> Option<Heredoc> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = rest.strip_prefix("<<")?;
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let name = without_quotes(rest)?;
    if name.is_empty() || name.contains('\n') {
        return None;
    }
    Some(Heredoc {
        expand: name == rest,
        name,
        word: word.to_owned(),
        chomp,
        content: String::new(),
    })
}

fn without_quotes(word: &str) -> Option<String> {
    let mut plain = String::new();
    let mut chars = word.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => plain.extend(chars.next()),
            '\'' | '"' => loop {
                match chars.next()? {
                    end if end == char => break,
                    '\\' if char == '"' => plain.extend(chars.next()),
                    inner => plain.push(inner),
                }
            },
            other => plain.push(other),
        }
    }
    Some(plain)
}

/// Words between blanks, with their quotes. `None` if a quote has no end: then nothing is meant as
/// a here-document.
pub(super) fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            blank if blank.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            '\\' => {
                word.push(char);
                word.extend(chars.next());
            }
            '\'' | '"' => {
                word.push(char);
                loop {
                    let inner = chars.next()?;
                    word.push(inner);
                    match inner {
                        end if end == char => break,
                        '\\' if char == '"' => word.extend(chars.next()),
                        _ => {}
                    }
                }
            }
            other => word.push(other),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_name_here_documents() {
        for (text, names) in [
            ("RUN <<EOF", vec!["EOF"]),
            ("run python3 <<EOF", vec!["EOF"]),
            ("RUN --mount=type=cache,target=/x <<EOF", vec!["EOF"]),
            ("RUN 3<<A cat <<-B", vec!["A", "B"]),
            ("ONBUILD COPY <<'a b' /x", vec!["a b"]),
            ("ADD <<\"q\" /x", vec!["q"]),
            ("RUN cat<<EOF", vec![]),
            ("RUN cat <<<word", vec![]),
            ("RUN echo '<<EOF'", vec![]),
            ("RUN echo \"a <<EOF\"", vec![]),
            ("RUN echo it's <<EOF", vec![]),
            ("RUN << EOF", vec![]),
            ("RUN [\"sh\", \"-c\", \"cat <<EOF\"]", vec![]),
            ("ENV A=<<EOF", vec![]),
            ("LABEL a <<EOF", vec![]),
        ] {
            let found: Vec<_> = named_in(text).into_iter().map(|doc| doc.name).collect();
            assert_eq!(found, names, "{text}");
        }
    }

    #[test]
    fn tabs_are_dropped_where_the_word_says_so() {
        let mut document = of_word("<<-E").unwrap();
        document.content = "\ta\n\t\tb\tc\n".into();
        assert_eq!(document.chomped(), "a\nb\tc\n");
        document.chomp = false;
        assert_eq!(document.chomped(), document.content);
    }
}
