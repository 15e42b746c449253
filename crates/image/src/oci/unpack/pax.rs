//! The records of a PAX header: what of the next member does not fit into an old one.
//!
//! `<length> <key>=<value>\n`, one after the other. They are taken apart by their lengths, for
//! values may have any bytes.

use super::UnpackError;
use super::member::Time;

/// The keys of attributes, as star, GNU tar and Go's library write them.
const ATTRIBUTE: &str = "SCHILY.xattr.";
/// The most attributes of a member.
const MAX_ATTRIBUTES: usize = 256;

/// What the records say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) modified: Option<Time>,
    pub(super) attributes: Vec<(String, Vec<u8>)>,
    /// The member is a sparse file in one of three forms.
    pub(super) sparse: bool,
}

impl Records {
    /// Takes the content of a header apart. A later record replaces an earlier one.
    pub(super) fn parse(mut content: &[u8]) -> Result<Self, UnpackError> {
        let mut records = Self::default();
        while !content.is_empty() {
            // Some writers fill the last block with zeros that they count.
            if content.iter().all(|byte| *byte == 0) {
                break;
            }
            let (record, rest) = split(content).ok_or(DAMAGED)?;
            let equals = record
                .iter()
                .position(|byte| *byte == b'=')
                .ok_or(DAMAGED)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            let key = std::str::from_utf8(key).map_err(|_| DAMAGED)?;
            records.take(key, value)?;
            content = rest;
        }
        Ok(records)
    }

    fn take(&mut self, key: &str, value: &[u8]) -> Result<(), UnpackError> {
        if let Some(name) = key.strip_prefix(ATTRIBUTE) {
            self.attributes.retain(|(known, _)| known != name);
            if self.attributes.len() >= MAX_ATTRIBUTES {
                return Err(UnpackError::Limit {
                    what: "attributes of a file",
                    limit: MAX_ATTRIBUTES as u64,
                });
            }
            self.attributes.push((name.to_owned(), value.to_vec()));
            return Ok(());
        }
        match key {
            // Without a value it takes an earlier one back.
            "path" => self.path = Some(value.to_vec()).filter(|path| !path.is_empty()),
            "linkpath" => self.link = Some(value.to_vec()).filter(|path| !path.is_empty()),
            "size" => self.size = number(value)?,
            "uid" => self.uid = number(value)?,
            "gid" => self.gid = number(value)?,
            "mtime" => self.modified = time(value)?,
            key if key.starts_with("GNU.sparse.") => self.sparse = true,
            _ => {}
        }
        Ok(())
    }
}

const DAMAGED: UnpackError = UnpackError::Damaged("a PAX header is no list of records");

/// The first record without its length and its end, and what follows it.
fn split(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = content.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&content[..space]).ok()?.parse().ok()?;
    let (record, rest) = content.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    Some((record, rest))
}

fn text(value: &[u8]) -> Result<Option<&str>, UnpackError> {
    let text = std::str::from_utf8(value).map_err(|_| DAMAGED)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn number(value: &[u8]) -> Result<Option<u64>, UnpackError> {
    let text = text(value)?;
    text.map(|text| text.parse().map_err(|_| DAMAGED))
        .transpose()
}

/// Seconds since 1970 with any number of digits behind the point, perhaps before then.
fn time(value: &[u8]) -> Result<Option<Time>, UnpackError> {
    let Some(text) = text(value)? else {
        return Ok(None);
    };
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    let mut seconds: i64 = whole.parse().map_err(|_| DAMAGED)?;
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(DAMAGED);
    }
    let nine = digits.bytes().chain(std::iter::repeat(b'0')).take(9);
    let mut nanoseconds = nine.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    if whole.starts_with('-') && nanoseconds > 0 {
        // Files count forward from the second before.
        seconds = seconds.checked_sub(1).ok_or(DAMAGED)?;
        nanoseconds = 1_000_000_000 - nanoseconds;
    }
    Ok(Some(Time {
        seconds,
        nanoseconds,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_have_any_bytes() {
        let content =
            b"31 SCHILY.xattr.user.a=1\n2=\n\0\n\n9 path=a\n15 size=123456\n12 path=b/c\n\0\0";
        let records = Records::parse(content).unwrap();
        assert_eq!(
            records.attributes,
            [("user.a".into(), b"1\n2=\n\0\n".to_vec())]
        );
        assert_eq!(records.path.as_deref(), Some(&b"b/c"[..]));
        assert_eq!(records.size, Some(123_456));
    }

    #[test]
    fn times_before_1970_count_forward_too() {
        let of = |text: &str| {
            time(text.as_bytes())
                .unwrap()
                .map(|t| (t.seconds, t.nanoseconds))
        };
        assert_eq!(of("12.5"), Some((12, 500_000_000)));
        assert_eq!(of("12"), Some((12, 0)));
        assert_eq!(of("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(of("1.1234567891"), Some((1, 123_456_789)));
        assert_eq!(of(""), None);
        for wrong in [
            "x",
            "1.x",
            "1.-2",
            "99999999999999999999",
            "-9223372036854775808.5",
        ] {
            assert!(time(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn damaged_records_are_refused() {
        for wrong in [
            "9",
            "x path=a\n",
            "0 path=a\n",
            "8 path=a\n",
            "99 path=a\n",
            "7 patha\n",
        ] {
            assert!(Records::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
