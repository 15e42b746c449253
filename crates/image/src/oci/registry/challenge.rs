//! What a registry wants for an answer: the header `WWW-Authenticate` (RFC 9110, section 11.6.1).

/// The longest header that is read.
const MAX_HEADER: usize = 8 << 10;

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A user and a password.
    Basic,
    /// A token that is to be had somewhere else.
    Bearer {
        /// Where.
        realm: String,
        /// For whom.
        service: Option<String>,
        /// For what.
        scope: Option<String>,
    },
}

/// The best of what the headers offer: a token before a password.
pub(super) fn best<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut best = None;
    for header in headers.filter(|header| header.len() <= MAX_HEADER).take(16) {
        for (scheme, fields) in split(header) {
            let field = |wanted: &str| {
                let found = fields
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(wanted));
                found.map(|(_, value)| value.clone())
            };
            if scheme.eq_ignore_ascii_case("bearer") {
                if let Some(realm) = field("realm") {
                    return Some(Challenge::Bearer {
                        realm,
                        service: field("service"),
                        scope: field("scope"),
                    });
                }
            } else if scheme.eq_ignore_ascii_case("basic") {
                best = Some(Challenge::Basic);
            }
        }
    }
    best
}

type Fields = Vec<(String, String)>;

/// Splits `Scheme name="value", name=value, Scheme …`.
fn split(header: &str) -> Vec<(String, Fields)> {
    let mut found: Vec<(String, Fields)> = Vec::new();
    let mut rest = header.trim_start_matches([' ', ',', '\t']);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !is_token(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            break;
        }
        if let Some(value) = after.trim_start().strip_prefix('=') {
            let (value, after) = value_of(value.trim_start());
            if let Some((_, fields)) = found.last_mut() {
                fields.push((word.to_owned(), value));
            }
            rest = after;
        } else {
            found.push((word.to_owned(), Vec::new()));
            rest = after;
        }
        rest = rest.trim_start_matches([' ', ',', '\t']);
    }
    found
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// The value at the beginning of a text, and what follows it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(headers: &[&str]) -> Option<Challenge> {
        best(headers.iter().copied())
    }

    #[test]
    fn what_registries_send_is_understood() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.into(),
                service: service.map(str::to_owned),
                scope: scope.map(str::to_owned),
            })
        };
        assert_eq!(
            of(&[
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull""#
            ]),
            bearer(
                "https://auth.docker.io/token",
                Some("registry.docker.io"),
                Some("repository:library/debian:pull")
            )
        );
        assert_eq!(of(&[r#"Basic realm="x""#]), Some(Challenge::Basic));
        assert_eq!(of(&["basic"]), Some(Challenge::Basic));
        assert_eq!(
            of(&[r#"Basic realm="a, b", Bearer  realm = "https://x/\"y", error=invalid"#]),
            bearer("https://x/\"y", None, None)
        );
        assert_eq!(
            of(&["Basic", "bearer realm=https://x/t"]),
            bearer("https://x/t", None, None)
        );
        assert_eq!(of(&["Negotiate", "Bearer"]), None);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[&"Basic,".repeat(10_000)]), None);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_stumble(header in ".{0,200}") {
            let _ = best(std::iter::once(header.as_str()));
        }
    }
}
