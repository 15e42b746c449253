//! Parameters of header values (`type; name=value; other="quoted"`), both directions.

/// The value of the parameter called `wanted`, without its quotes.
pub(crate) fn parameter(value: &str, wanted: &str) -> Option<String> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim();
        let (value, next) = take_value(after.trim_start());
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = next.split_once(';')?.1;
    }
}

/// A value and what follows it. Within quotes a backslash escapes only a quote or a backslash:
/// clients on Windows send file names with single ones.
fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.trim_end().to_owned(), rest);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, letter)) = chars.next() {
        match letter {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => match chars.next_if(|(_, next)| matches!(next, '"' | '\\')) {
                Some((_, escaped)) => value.push(escaped),
                None => value.push('\\'),
            },
            other => value.push(other),
        }
    }
    (value, "")
}

/// Undoes what browsers and clients like them do to file names in forms: a quote and line ends
/// are escaped with percent signs, and nothing else is.
pub(crate) fn undo_form_escapes(name: &str) -> String {
    const ESCAPES: [(&str, &str); 5] = [
        ("%22", "\""),
        ("%0D", "\r"),
        ("%0d", "\r"),
        ("%0A", "\n"),
        ("%0a", "\n"),
    ];
    ESCAPES
        .iter()
        .fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

/// Decodes the extended form of a parameter: `UTF-8''na%C3%AFve`.
pub(crate) fn decode_extended(value: &str) -> Option<String> {
    let mut parts = value.splitn(3, '\'');
    let charset = parts.next()?;
    let text = parts.nth(1)?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    // As in a query, but for the plus, which stands for itself.
    crate::request::decode_field(&text.replace('+', "%2B"))
}

/// `inline; filename=…` for a download.
pub(crate) fn inline(name: &str) -> String {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte);
    if !name.is_empty() && name.bytes().all(token) {
        return format!("inline; filename={name}");
    }
    if name.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
        return format!("inline; filename=\"{escaped}\"");
    }
    let mut value = "inline; filename*=utf-8''".to_owned();
    for byte in name.bytes() {
        if token(byte) {
            value.push(char::from(byte));
        } else {
            value.push_str(&format!("%{byte:02X}"));
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parameters_are_found_and_unquoted() {
        let value = r#"form-data; Name="fi\"le" ; filename="C:\dir\a;b.txt"; x=y z ;w="#;
        assert_eq!(parameter(value, "name").as_deref(), Some("fi\"le"));
        assert_eq!(
            parameter(value, "filename").as_deref(),
            Some(r"C:\dir\a;b.txt")
        );
        assert_eq!(parameter(value, "x").as_deref(), Some("y z"));
        assert_eq!(parameter(value, "w").as_deref(), Some(""));
        assert_eq!(parameter(value, "v"), None);
        assert_eq!(parameter("name=x", "name"), None);
        assert_eq!(undo_form_escapes("a%22b%0d%0A%20%"), "a\"b\r\n%20%");
        assert_eq!(
            decode_extended("UTF-8''na%C3%AFve+").as_deref(),
            Some("naïve+")
        );
        assert_eq!(decode_extended("latin1''x"), None);
        assert_eq!(decode_extended("UTF-8'x"), None);
    }

    #[test]
    fn download_names_are_quoted_as_needed() {
        assert_eq!(inline("a.txt"), "inline; filename=a.txt");
        assert_eq!(inline("a \"b\".txt"), r#"inline; filename="a \"b\".txt""#);
        assert_eq!(inline("ä\n"), "inline; filename*=utf-8''%C3%A4%0A");
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(value in "[a-z;=\"\\\\'%* ä]{0,60}") {
            let _ = parameter(&value, "a");
            let _ = decode_extended(&value);
        }

        #[test]
        fn download_names_are_valid_headers(name in any::<String>()) {
            prop_assert!(hyper::header::HeaderValue::from_str(&inline(&name)).is_ok());
        }
    }
}
