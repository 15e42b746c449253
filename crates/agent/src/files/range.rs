//! Which part of a file a client wants, and whether it has it already.

use crate::calendar::parse_http_date;
use crate::rpc::text;
use hyper::header::{
    HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};

/// What is to be sent of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it.
    Whole,
    /// Bytes from `start`, `length` of them.
    Part { start: u64, length: u64 },
    /// Nothing: the range begins behind its end.
    Unsatisfiable,
    /// Nothing: it has not changed since the client got it.
    NotModified,
    /// Nothing: it has changed since the client got it.
    Failed,
}

/// What the headers want of a file of `size` bytes that changed last at `modified` (seconds
/// since 1970). There are no entity tags, so nothing can match one.
pub(crate) fn wanted(headers: &HeaderMap, size: u64, modified: i64) -> Wanted {
    let date = |name| text(headers, name).and_then(parse_http_date);
    if date(IF_UNMODIFIED_SINCE.as_str()).is_some_and(|since| modified > since) {
        return Wanted::Failed;
    }
    if !headers.contains_key(IF_NONE_MATCH)
        && date(IF_MODIFIED_SINCE.as_str()).is_some_and(|since| modified <= since)
    {
        return Wanted::NotModified;
    }
    let Some(range) = text(headers, RANGE.as_str()) else {
        return Wanted::Whole;
    };
    // A part of a newer file does not fit what the client has.
    if headers.contains_key(IF_RANGE) && date(IF_RANGE.as_str()) != Some(modified) {
        return Wanted::Whole;
    }
    part(range, size)
}

/// One range of bytes. Several at once, other units and nonsense mean the whole file, as the
/// standard allows.
fn part(range: &str, size: u64) -> Wanted {
    let Some((first, last)) = range
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
    else {
        return Wanted::Whole;
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let (first, last) = (first.trim(), last.trim());
    let (start, end) = match (number(first), number(last)) {
        (Some(start), Some(last)) if start <= last => (start, last.saturating_add(1).min(size)),
        (Some(start), None) if last.is_empty() => (start, size),
        (None, Some(count)) if first.is_empty() => {
            if count == 0 {
                return Wanted::Unsatisfiable;
            }
            (size.saturating_sub(count), size)
        }
        _ => return Wanted::Whole,
    };
    if start >= size {
        return Wanted::Unsatisfiable;
    }
    Wanted::Part {
        start,
        length: end - start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::http_date;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let some = |start, length| Wanted::Part { start, length };
        let table = [
            ("bytes=0-4", some(0, 5)),
            ("bytes=2-", some(2, 8)),
            ("bytes=2-99", some(2, 8)),
            ("bytes=-3", some(7, 3)),
            ("bytes=-99", some(0, 10)),
            ("bytes=9-9", some(9, 1)),
            ("bytes=0-18446744073709551615", some(0, 10)),
            ("bytes=10-", Wanted::Unsatisfiable),
            ("bytes=99999999999999999999-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=4-2", Wanted::Whole),
            ("bytes=0-1,4-5", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
            ("", Wanted::Whole),
        ];
        for (range, expected) in table {
            assert_eq!(part(range, 10), expected, "{range}");
        }
        assert_eq!(part("bytes=0-", 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn conditions_are_kept() {
        let changed = 784_111_777;
        let ask = |pairs: &[(hyper::header::HeaderName, String)]| {
            let headers = pairs
                .iter()
                .map(|(n, v)| (n.clone(), v.parse().unwrap()))
                .collect();
            wanted(&headers, 10, changed)
        };
        let at = |offset: i64| http_date(changed + offset);
        let range = (RANGE, "bytes=0-1".to_owned());
        let two = Wanted::Part {
            start: 0,
            length: 2,
        };
        assert_eq!(ask(&[(IF_MODIFIED_SINCE, at(0))]), Wanted::NotModified);
        assert_eq!(ask(&[(IF_MODIFIED_SINCE, at(-1))]), Wanted::Whole);
        assert_eq!(
            ask(&[(IF_MODIFIED_SINCE, at(0)), (IF_NONE_MATCH, "\"x\"".into())]),
            Wanted::Whole
        );
        assert_eq!(ask(&[(IF_UNMODIFIED_SINCE, at(-1))]), Wanted::Failed);
        assert_eq!(ask(&[(IF_UNMODIFIED_SINCE, at(0)), range.clone()]), two);
        assert_eq!(ask(&[(IF_RANGE, at(0)), range.clone()]), two);
        assert_eq!(ask(&[(IF_RANGE, at(1)), range.clone()]), Wanted::Whole);
        assert_eq!(ask(&[(IF_RANGE, "\"tag\"".into()), range]), Wanted::Whole);
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_file(range in "bytes=[0-9]{0,22}-[0-9]{0,22}", size in any::<u64>()) {
            if let Wanted::Part { start, length } = part(&range, size) {
                prop_assert!(length > 0 && start + length <= size);
            }
        }
    }
}
