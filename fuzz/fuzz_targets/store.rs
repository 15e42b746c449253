//! What a store is asked: keys, spans, transactions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use soulbox_store::{Compare, Operation, Revision, Span, Transaction, bounds, key};
use std::ops::Bound;

/// One operation or comparison for each line: a letter, a key, a tab, another key or a value.
fn read(text: &str) -> Transaction {
    let mut transaction = Transaction::default();
    for line in text.split('\n') {
        let mut letters = line.chars();
        let kind = letters.next();
        let (first, second) = letters.as_str().split_once('\t').unwrap_or_default();
        let (key, value) = (first.to_owned(), second.to_owned());
        match kind {
            Some('p') => transaction.then.push(Operation::put(key, value)),
            Some('d') => transaction.then.push(Operation::delete(key)),
            Some('r') => transaction.then.push(Operation::DeleteRange(Span::Between(key, value))),
            Some('s') => transaction.then.push(Operation::DeleteRange(Span::prefix(key))),
            Some('o') => transaction.otherwise.push(Operation::put(key, value)),
            Some('a') => transaction.compares.push(Compare::Absent(key)),
            Some('v') => transaction.compares.push(Compare::Value(key, value.into())),
            Some('u') => transaction
                .compares
                .push(Compare::Unchanged(key, Revision(value.len() as u64))),
            _ => transaction.ends ^= true,
        }
    }
    transaction
}

fn inside(span: &Span, key: &str) -> bool {
    let (start, end) = span.ends();
    let before = match end {
        Bound::Excluded(end) => key.as_bytes() < end.as_slice(),
        Bound::Included(end) => key.as_bytes() <= end.as_slice(),
        Bound::Unbounded => true,
    };
    key.as_bytes() >= start.as_slice() && before
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let (first, second) = text.split_once('\n').unwrap_or_default();
    for span in [
        Span::prefix(first),
        Span::Between(first.to_owned(), second.to_owned()),
    ] {
        // What a store finds by the ends of a span is what belongs to it.
        for key in [first, second, text] {
            assert_eq!(span.contains(key), inside(&span, key), "{span:?} {key:?}");
        }
    }
    assert!(key::check(text).is_err() || (1..=bounds::KEY).contains(&text.len()));
    let mut transaction = read(text);
    let checked = transaction.check();
    if checked.is_ok() {
        assert!(transaction.bytes() <= bounds::TRANSACTION);
        let removes = |operation: &Operation| !matches!(operation, Operation::Put { .. });
        let all = transaction.then.iter().chain(&transaction.otherwise);
        assert!(transaction.ends || transaction.may_use_reserve() == all.clone().all(removes));
    }
    // The order of a side does not matter.
    transaction.then.reverse();
    assert_eq!(checked.is_ok(), transaction.check().is_ok());
});
