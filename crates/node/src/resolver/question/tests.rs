use super::*;
use proptest::prelude::*;

/// A question for `name`, in the words of another program's writer.
fn message(name: &str, kind: u16, extension: bool) -> Vec<u8> {
    let mut bytes = vec![
        0xab,
        0xcd,
        0x01,
        0x20,
        0,
        1,
        0,
        0,
        0,
        0,
        0,
        u8::from(extension),
    ];
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    if extension {
        // A size of 4096, version 0, DO, and a cookie.
        bytes.extend_from_slice(&[0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 12, 0, 10, 0, 8]);
        bytes.extend_from_slice(b"cookie!!");
    }
    bytes
}

fn code(rejected: Rejected) -> u16 {
    match rejected {
        Rejected::Silently => panic!("silent"),
        Rejected::With(answer) => code_of(&answer).unwrap(),
    }
}

#[test]
fn a_question_is_passed_on_without_what_only_the_client_knows() {
    let asked = message("example.com", 1, true);
    let question = Question::parse(&asked).unwrap();
    let passed = question.for_server(7);
    assert_eq!(passed[..2], [0, 7]);
    assert!(!passed.windows(8).any(|bytes| bytes == b"cookie!!"));
    assert_eq!(
        passed[passed.len() - 11..],
        [0, 0, 41, 4, 0xd0, 0, 0, 0x80, 0, 0, 0]
    );
    assert_eq!(question.datagram_size(), 1232);
    let plain = Question::parse(&message("example.com", 1, false)).unwrap();
    assert_eq!(plain.datagram_size(), 512);
    assert_eq!(plain.for_server(7).len(), 12 + 13 + 4);
}

#[test]
fn only_the_answer_to_the_question_counts() {
    let question = Question::parse(&message("Example.com", 1, false)).unwrap();
    let mut answer = question.for_server(7);
    assert!(
        !question.is_answered_by(&answer, 7),
        "a question is no answer"
    );
    answer[2] |= 0x80;
    assert!(question.is_answered_by(&answer, 7));
    assert!(question.is_answered_by(&answer.to_ascii_lowercase(), 7));
    assert!(!question.is_answered_by(&answer, 8));
    for at in 12..answer.len() {
        let mut other = answer.clone();
        other[at] ^= 1;
        assert!(!question.is_answered_by(&other, 7), "byte {at}");
        assert!(!question.is_answered_by(&answer[..at], 7), "cut at {at}");
    }
    assert_eq!(question.in_stream(answer)[..2], [0xab, 0xcd]);
}

#[test]
fn an_answer_that_is_too_large_for_a_datagram_is_cut() {
    let question = Question::parse(&message("example.com", 1, false)).unwrap();
    let mut answer = question.for_server(7);
    answer.resize(512, 0);
    assert_eq!(question.in_datagram(answer.clone()).len(), 512);
    answer.push(0);
    let cut = question.in_datagram(answer.clone());
    assert_eq!(cut.len(), 12 + 13 + 4);
    assert_eq!(cut[2] & 0x02, 0x02, "truncated");
    assert_eq!(question.in_stream(answer).len(), 513);
}

#[test]
fn what_is_no_question_is_refused_in_the_right_words() {
    let good = message("example.com", 1, false);
    let change = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        Question::parse(&bytes).unwrap_err()
    };
    assert_eq!(change(2, 0x81), Rejected::Silently, "an answer");
    assert_eq!(Question::parse(&good[..11]), Err(Rejected::Silently));
    assert_eq!(
        code(change(2, 0x28)),
        Code::NotImplemented as u16,
        "an update"
    );
    assert_eq!(
        code(change(5, 2)),
        Code::FormatError as u16,
        "two questions"
    );
    assert_eq!(
        code(change(7, 1)),
        Code::FormatError as u16,
        "an answer within"
    );
    assert_eq!(
        code(change(11, 1)),
        Code::FormatError as u16,
        "a missing record"
    );
    assert_eq!(
        code(change(12, 0xc0)),
        Code::FormatError as u16,
        "a pointer"
    );
    assert_eq!(
        code(change(26, 252)),
        Code::Refused as u16,
        "a zone transfer"
    );
    assert_eq!(code(change(28, 3)), Code::Refused as u16, "class CHAOS");
    let trailing = [good.as_slice(), &[0]].concat();
    assert_eq!(
        code(Question::parse(&trailing).unwrap_err()),
        Code::FormatError as u16
    );
    let long = vec!["a".repeat(63); 4].join(".");
    assert!(
        Question::parse(&message(&long, 1, false)).is_err(),
        "257 bytes"
    );
    let mut version = message("example.com", 1, true);
    let at = version.len() - 23 + 6;
    version[at] = 1;
    let Err(Rejected::With(answer)) = Question::parse(&version) else {
        panic!()
    };
    assert_eq!(
        (code_of(&answer), answer[answer.len() - 6]),
        (Some(0), 1),
        "BADVERS"
    );
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Err(Rejected::With(answer)) = Question::parse(&bytes) {
            prop_assert!(answer.len() <= bytes.len() + 11, "no louder than it was asked");
            prop_assert_eq!(Question::parse(&answer), Err(Rejected::Silently));
        }
    }

    #[test]
    fn a_good_question_with_one_wrong_byte_is_still_safe(
        at in 0usize..56, value: u8, cut in 0usize..57,
    ) {
        let mut bytes = message("www.example.com", 28, true);
        bytes[at] = value;
        for bytes in [&bytes[..], &bytes[..cut.min(bytes.len())]] {
            if let Ok(question) = Question::parse(bytes) {
                let passed = question.for_server(1);
                prop_assert!(passed.len() <= bytes.len());
                prop_assert_eq!(Question::parse(&passed).unwrap().section, question.section);
            }
        }
    }

    #[test]
    fn any_name_that_fits_is_passed_on_as_it_is(
        labels in prop::collection::vec("[a-zA-Z0-9_-]{1,63}", 1..8), kind in 1u16..40,
    ) {
        let name = labels.join(".");
        let asked = message(&name, kind, false);
        match Question::parse(&asked) {
            Ok(question) => prop_assert_eq!(&question.for_server(0xabcd)[4..], &asked[4..]),
            Err(_) => prop_assert!(name.len() + 2 > LONGEST_NAME),
        }
    }

    #[test]
    fn no_answer_is_too_strange(answer in prop::collection::vec(any::<u8>(), 0..1400)) {
        let question = Question::parse(&message("example.com", 1, false)).unwrap();
        let _ = question.is_answered_by(&answer, 1);
        let _ = code_of(&answer);
        prop_assert!(question.in_datagram(answer).len() <= 512);
    }
}
