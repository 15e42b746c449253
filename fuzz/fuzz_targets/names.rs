//! Name questions of sandboxes and the answers of servers, read by the node's resolver.
//!
//! The input is a question, then, behind its length in two bytes, an answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use soulbox_node::resolver::question::{Code, Question, Rejected, code_of};

fuzz_target!(|data: &[u8]| {
    let Some(([high, low], rest)) = data.split_first_chunk() else {
        return;
    };
    let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
    let (message, answer) = rest.split_at(length);
    let question = match Question::parse(message) {
        Ok(question) => question,
        Err(Rejected::Silently) => return,
        // What is said to nonsense is never taken for a question again, nor longer than it.
        Err(Rejected::With(answer)) => {
            assert_eq!(Question::parse(&answer), Err(Rejected::Silently));
            assert!(answer.len() <= message.len().max(12) + 11);
            return;
        }
    };
    let asked = question.for_server(7);
    let again = Question::parse(&asked).expect("what is asked is a question");
    assert_eq!(again.for_server(7), asked);
    assert!(!question.is_answered_by(&asked, 7));
    let failure = question.failure(Code::ServerFailure);
    assert_eq!(code_of(&failure), Some(Code::ServerFailure as u16));
    if question.is_answered_by(answer, 7) {
        let sent = question.in_datagram(answer.to_vec());
        assert!(sent.len() <= usize::from(question.datagram_size()));
        assert_eq!(question.in_stream(answer.to_vec())[..2], message[..2]);
    }
});
