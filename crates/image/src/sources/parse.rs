//! Reading apt's two forms of source lists: one line for each source, and stanzas (deb822).
//!
//! What cannot be understood is left out: apt itself would refuse it too.

use std::path::PathBuf;

/// How the lists of a source are verified.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SignedBy {
    /// With any key that the host's apt trusts.
    #[default]
    Any,
    /// With the keys in these files.
    Keyrings(Vec<PathBuf>),
    /// With the key that stands in the source itself: the lines of the field as they are.
    Inline(String),
}

/// A source of binary packages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    /// Where its archives are.
    pub uris: Vec<String>,
    /// The releases in them.
    pub suites: Vec<String>,
    /// The parts of these releases.
    pub components: Vec<String>,
    /// The machines it is for; empty when it does not say.
    pub architectures: Vec<String>,
    /// How it is verified.
    pub signed_by: SignedBy,
}

/// The most sources that are read from one file.
const MAX_SOURCES: usize = 1000;

/// Reads the form with one line for each source (`*.list`).
pub fn lines(text: &str) -> Vec<Source> {
    text.lines().filter_map(line).take(MAX_SOURCES).collect()
}

fn line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t', '[']) {
        return None;
    }
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    let mut source = Source {
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        ..Source::default()
    };
    for (name, value) in options
        .split_whitespace()
        .filter_map(|option| option.split_once('='))
    {
        let values = value.split(',').map(str::to_owned);
        match name
            .trim_end_matches(['+', '-'])
            .to_ascii_lowercase()
            .as_str()
        {
            "arch" => source.architectures = values.collect(),
            "signed-by" => source.signed_by = keyrings(value.split(',')),
            _ => {}
        }
    }
    Some(source)
}

/// Reads the form with stanzas (`*.sources`).
pub fn stanzas(text: &str) -> Vec<Source> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines
        .split(|line| line.trim().is_empty())
        .filter_map(stanza)
        .take(MAX_SOURCES)
        .collect()
}

fn stanza(lines: &[&str]) -> Option<Source> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines {
        if line.starts_with([' ', '\t']) {
            let (_, value) = fields.last_mut()?;
            value.push('\n');
            value.push_str(line);
        } else {
            let (name, value) = line.split_once(':')?;
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let field = |name: &str| {
        let found = fields.iter().find(|(field, _)| field == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    let words = |name: &str| field(name).split_whitespace().map(str::to_owned).collect();
    let types: Vec<String> = words("types");
    let off = ["no", "false", "without", "off", "disable"].contains(&field("enabled"));
    if off || !types.iter().any(|kind| kind == "deb") {
        return None;
    }
    let signed_by = field("signed-by");
    Some(Source {
        uris: words("uris"),
        suites: words("suites"),
        components: words("components"),
        architectures: words("architectures"),
        signed_by: match signed_by.contains("-----BEGIN") {
            true => SignedBy::Inline(signed_by.to_owned()),
            false => keyrings(signed_by.split_whitespace()),
        },
    })
}

/// Only files count; a fingerprint says which key of the trusted ones it must be.
fn keyrings<'a>(values: impl Iterator<Item = &'a str>) -> SignedBy {
    let files: Vec<PathBuf> = values
        .filter(|value| value.starts_with('/'))
        .map(PathBuf::from)
        .collect();
    match files.is_empty() {
        true => SignedBy::Any,
        false => SignedBy::Keyrings(files),
    }
}

impl Source {
    /// The source as a stanza.
    pub fn stanza(&self) -> String {
        let mut text = format!(
            "Types: deb\nURIs: {}\nSuites: {}\nComponents: {}\n",
            self.uris.join(" "),
            self.suites.join(" "),
            self.components.join(" ")
        );
        if !self.architectures.is_empty() {
            text += &format!("Architectures: {}\n", self.architectures.join(" "));
        }
        match &self.signed_by {
            SignedBy::Any => {}
            SignedBy::Keyrings(files) => {
                let files: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
                text += &format!("Signed-By: {}\n", files.join(" "));
            }
            SignedBy::Inline(lines) => text += &format!("Signed-By: {lines}\n"),
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let from_lines = lines(
            "# comment\n\
             deb-src http://ftp.de.debian.org/debian bookworm main\n\
             deb [arch=amd64 signed-by=/usr/share/keyrings/a.gpg] http://ftp.de.debian.org/debian \
             bookworm main contrib # more\n",
        );
        let from_stanzas = stanzas(
            "# comment\n\
             Types: deb deb-src\nURIs: http://ftp.de.debian.org/debian\nSuites: bookworm\n\
             # inside\nComponents: main\n contrib\nArchitectures: amd64\n\
             Signed-By: /usr/share/keyrings/a.gpg\n\n\n\
             Types: deb-src\nURIs: http://x/\nSuites: x\n",
        );
        assert_eq!(from_lines, from_stanzas);
        assert_eq!(from_lines.len(), 1);
        assert_eq!(stanzas(&from_lines[0].stanza()), from_lines);
    }

    #[test]
    fn a_key_in_the_source_is_kept_as_it_is() {
        let text = "Types: deb\nURIs: http://x/debian\nSuites: bookworm\nComponents: main\n\
                    Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n";
        let sources = stanzas(text);
        assert!(matches!(&sources[0].signed_by, SignedBy::Inline(key) if key.contains("\n .\n")));
        assert_eq!(stanzas(&sources[0].stanza()), sources);
    }

    #[test]
    fn what_is_off_or_broken_is_left_out() {
        assert!(stanzas("Enabled: no\nTypes: deb\nURIs: http://x\nSuites: y\n").is_empty());
        assert!(stanzas(" continued\n\nno colon\n").is_empty());
        for bad in [
            "deb",
            "deb http://x",
            "debian http://x y z",
            "deb [arch=x http://x y",
            "",
        ] {
            assert!(lines(bad).is_empty(), "{bad:?}");
        }
    }
}
