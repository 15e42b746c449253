//! What a Java source says about its names. Java wants a public class in a file of its name, and
//! `java` wants the name of the class that has `main`.

/// The names that a source asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The name of the file, without `.java`.
    pub file: String,
    /// The class that has `main`, with its package.
    pub class: String,
}

/// The longest name that is taken from a source: file names end at 255 bytes with `.java`.
const NAME_MAX: usize = 200;

impl Program {
    /// Looks for the public class, the class that has `main`, and the package. This is a look at
    /// words, not a parse: what it misreads, the compiler refuses with its own message.
    pub fn of(code: &[u8]) -> Self {
        let text = without_comments_and_strings(code);
        let mut scan = Scan::default();
        let mut words = text.split(|c: char| !(c.is_alphanumeric() || "_$.{};".contains(c)));
        let mut before = "";
        while let Some(word) = words.find(|word| !word.is_empty()) {
            for piece in pieces(word) {
                scan.step(before, piece);
                before = piece;
            }
        }
        scan.finish()
    }
}

/// Splits `{`, `}` and `;` off their neighbours.
fn pieces(word: &str) -> impl Iterator<Item = &str> {
    word.split_inclusive(['{', '}', ';']).flat_map(|piece| {
        let cut = piece.len() - usize::from(piece.ends_with(['{', '}', ';']));
        let (name, mark) = piece.split_at(cut);
        [name, mark].into_iter().filter(|part| !part.is_empty())
    })
}

#[derive(Default)]
struct Scan<'t> {
    depth: usize,
    package: Option<&'t str>,
    /// The class at depth 0 that was named last.
    current: Option<&'t str>,
    is_public: bool,
    public: Option<&'t str>,
    with_main: Option<&'t str>,
    first: Option<&'t str>,
}

impl<'t> Scan<'t> {
    fn step(&mut self, before: &str, word: &'t str) {
        match word {
            "{" => self.depth += 1,
            "}" => self.depth = self.depth.saturating_sub(1),
            "main" if before == "void" && self.depth == 1 => {
                self.with_main = self.with_main.or(self.current);
            }
            _ if self.depth > 0 => {}
            ";" => self.is_public = false,
            "public" => self.is_public = true,
            _ if before == "package" => self.package = Some(word),
            _ if ["class", "interface", "enum", "record"].contains(&before) => self.named(word),
            _ => {}
        }
    }

    fn named(&mut self, name: &'t str) {
        self.current = Some(name);
        self.first = self.first.or(self.current);
        if self.is_public {
            self.public = self.public.or(self.current);
        }
        self.is_public = false;
    }

    fn finish(self) -> Program {
        let usable = |name: &&str| {
            !name.is_empty() && name.len() <= NAME_MAX && !name.contains(['.', '{', '}', ';'])
        };
        let file = self.public.filter(usable).unwrap_or("Main").to_owned();
        let class = self.with_main.or(self.public).or(self.first).filter(usable);
        let class = class.unwrap_or("Main");
        let class = match self.package.filter(|name| name.len() <= NAME_MAX) {
            Some(package) => format!("{package}.{class}"),
            None => class.to_owned(),
        };
        Program { file, class }
    }
}

/// The text with comments, string and character literals blanked.
fn without_comments_and_strings(code: &[u8]) -> String {
    let text = String::from_utf8_lossy(code);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(start) = rest.find(['/', '"', '\'']) {
        let (before, after) = rest.split_at(start);
        out.push_str(before);
        let (skipped, blank) = skip(after);
        out.push_str(if blank { " " } else { &after[..skipped] });
        rest = after.get(skipped..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// How many bytes the comment or literal at the start of `text` has, and whether it is one.
fn skip(text: &str) -> (usize, bool) {
    let to = |mark: &str, from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        rest.find(mark)
            .map_or(text.len(), |at| from + at + mark.len())
    };
    if text.starts_with("//") {
        return (to("\n", 2), true);
    }
    if text.starts_with("/*") {
        return (to("*/", 2), true);
    }
    if text.starts_with("\"\"\"") {
        return (to("\"\"\"", 3), true);
    }
    if text.starts_with('/') {
        return (1, false);
    }
    (literal(text.as_bytes()), true)
}

/// The length of a string or character literal: to its closing mark or the end of the line.
fn literal(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' => at += 1,
            b'\n' => return at,
            byte if Some(byte) == text.first() => return at + 1,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(code: &str) -> (String, String) {
        let program = Program::of(code.as_bytes());
        (program.file, program.class)
    }

    fn both(file: &str, class: &str) -> (String, String) {
        (file.to_owned(), class.to_owned())
    }

    const MAIN: &str = "public static void main(String[] a) { int x = 1; }";

    #[test]
    fn the_file_is_named_by_the_public_class() {
        let code = format!("class A {{ void f() {{}} }}\npublic final class Fib {{ {MAIN} }}");
        assert_eq!(names(&code), both("Fib", "Fib"));
    }

    #[test]
    fn without_a_public_class_the_one_with_main_runs() {
        let code = format!("class Helper {{ int x; }} class Start{{ {MAIN} }} class Z {{}}");
        assert_eq!(names(&code), both("Main", "Start"));
    }

    #[test]
    fn the_package_belongs_to_the_class() {
        let code = format!("package com.example;\npublic class App {{ {MAIN} }}");
        assert_eq!(names(&code), both("App", "com.example.App"));
    }

    #[test]
    fn comments_and_strings_are_not_read() {
        let code = format!(
            "// public class A {{\n/* public class B */ class C {{ String s = \"}} public class D\"; \
             char c = '\"'; {MAIN} }}"
        );
        assert_eq!(names(&code), both("Main", "C"));
    }

    #[test]
    fn a_nested_class_never_names_the_file() {
        let code = format!("class Out {{ public static class In {{}} {MAIN} }}");
        assert_eq!(names(&code), both("Main", "Out"));
    }

    #[test]
    fn odd_input_falls_back_to_main() {
        for odd in [
            "",
            "class",
            "public class ;",
            "\"",
            "'\\",
            "/*",
            "}}}{",
            "é/é\"é",
            "\"\"\"",
        ] {
            let _ = names(odd);
        }
        assert_eq!(names(""), both("Main", "Main"));
        let long = format!("public class {} {{}}", "x".repeat(5000));
        assert_eq!(names(&long).0, "Main");
    }
}
