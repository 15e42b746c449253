//! Reading a question strictly and writing it anew (RFC 1035, RFC 6891).

/// Length of the header.
const HEADER: usize = 12;
/// The longest name with its length bytes (RFC 1035, 2.3.4).
const LONGEST_NAME: usize = 255;
/// The longest label.
const LONGEST_LABEL: u8 = 63;
/// What a datagram holds without EDNS.
const PLAIN_SIZE: u16 = 512;
/// What a datagram may hold with EDNS: passes every path unfragmented (DNS flag day 2020).
const LARGEST_SIZE: u16 = 1232;

const RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
const RECURSION_AVAILABLE: u16 = 0x0080;
/// What a client may ask for beyond its question: recursion, authentic data, checking disabled.
const WISHES: u16 = RECURSION_DESIRED | 0x0020 | 0x0010;
/// `DO` of EDNS: signatures are welcome.
const SIGNATURES: u32 = 0x8000;

const CLASS_INTERNET: u16 = 1;
const TYPE_OPT: u16 = 41;
/// `TKEY`, `TSIG`, `IXFR`, `AXFR`, `MAILB`, `MAILA` and `OPT`: transfers of whole zones, and what
/// is no question.
const REFUSED_TYPES: [u16; 7] = [249, 250, 251, 252, 253, 254, TYPE_OPT];

/// How a question ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The message is not well formed.
    FormatError = 1,
    /// No server gave an answer.
    ServerFailure = 2,
    /// A kind of message that is not served.
    NotImplemented = 4,
    /// A question that is not served.
    Refused = 5,
    /// A version of EDNS that is not served; its upper bits stand in the extension.
    BadVersion = 16,
}

/// A message that is no question, and what to say to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// Nothing: an answer to what may be an answer could go round for ever.
    Silently,
    /// This.
    With(Vec<u8>),
}

/// What the client understands beyond RFC 1035.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extension {
    size: u16,
    signatures: bool,
}

/// A well-formed question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    id: u16,
    wishes: u16,
    /// Name, type and class as they stood in the message.
    section: Vec<u8>,
    extension: Option<Extension>,
}

impl Question {
    /// Reads a client's message.
    ///
    /// # Errors
    /// It is no well-formed question for an internet name.
    pub fn parse(message: &[u8]) -> Result<Self, Rejected> {
        let header: [u16; 6] = header(message).ok_or(Rejected::Silently)?;
        let [id, flags, questions, answers, authorities, additional] = header;
        if flags & RESPONSE != 0 {
            return Err(Rejected::Silently);
        }
        let reject = |code| Rejected::With(bare(id, flags & OPCODE, code));
        if flags & OPCODE != 0 {
            return Err(reject(Code::NotImplemented));
        }
        if (questions, answers, authorities) != (1, 0, 0) || additional > 1 {
            return Err(reject(Code::FormatError));
        }
        let rest = &message[HEADER..];
        let name = name_length(rest).ok_or_else(|| reject(Code::FormatError))?;
        let section = rest
            .get(..name + 4)
            .ok_or_else(|| reject(Code::FormatError))?;
        let mut question = Self {
            id,
            wishes: flags & WISHES,
            section: section.to_vec(),
            extension: None,
        };
        let rest = &rest[section.len()..];
        match (additional, rest) {
            (0, []) => {}
            (1, record) => {
                let (extension, version) =
                    extension(record).ok_or_else(|| reject(Code::FormatError))?;
                question.extension = Some(extension);
                if version != 0 {
                    return Err(Rejected::With(question.failure(Code::BadVersion)));
                }
            }
            _ => return Err(reject(Code::FormatError)),
        }
        let [kind, class] = [name, name + 2].map(|at| u16_at(section, at));
        if class != Some(CLASS_INTERNET) || kind.is_none_or(|kind| REFUSED_TYPES.contains(&kind)) {
            return Err(Rejected::With(question.failure(Code::Refused)));
        }
        Ok(question)
    }

    /// The question for a server, under the number `id`. Only what was understood is passed on:
    /// no option of the client's, nothing that was hidden behind its question.
    pub fn for_server(&self, id: u16) -> Vec<u8> {
        let counts = [1, 0, 0, u16::from(self.extension.is_some())];
        let mut message = with_header(id, self.wishes, counts);
        message.extend_from_slice(&self.section);
        message.extend(
            self.extension
                .map(|extension| extension.record(0))
                .into_iter()
                .flatten(),
        );
        message
    }

    /// Whether a server's message answers this question as it was asked under `id`.
    pub fn is_answered_by(&self, message: &[u8], id: u16) -> bool {
        let Some([their_id, flags, questions, ..]) = header(message) else {
            return false;
        };
        let section = message.get(HEADER..HEADER + self.section.len());
        // Servers may change the case of letters in a name, and nothing else. Lengths of labels
        // are below 64, where no letters are.
        their_id == id
            && flags & (RESPONSE | OPCODE) == RESPONSE
            && questions == 1
            && section.is_some_and(|section| section.eq_ignore_ascii_case(&self.section))
    }

    /// A server's answer, as the client sees it in a datagram: cut when it is too large.
    pub fn in_datagram(&self, answer: Vec<u8>) -> Vec<u8> {
        if answer.len() > usize::from(self.datagram_size()) {
            return self.without_answer(TRUNCATED, 0);
        }
        self.in_stream(answer)
    }

    /// A server's answer, as the client sees it on a connection.
    pub fn in_stream(&self, mut answer: Vec<u8>) -> Vec<u8> {
        if let Some(id) = answer.get_mut(..2) {
            id.copy_from_slice(&self.id.to_be_bytes());
        }
        answer
    }

    /// The message that says why there is no answer.
    pub fn failure(&self, code: Code) -> Vec<u8> {
        self.without_answer(0, code as u16)
    }

    /// What fits into one datagram to the client, in bytes.
    pub fn datagram_size(&self) -> u16 {
        self.extension
            .map_or(PLAIN_SIZE, |extension| extension.size)
    }

    fn without_answer(&self, flags: u16, code: u16) -> Vec<u8> {
        let flags = RESPONSE | RECURSION_AVAILABLE | self.wishes | flags | (code & 0xf);
        let counts = [1, 0, 0, u16::from(self.extension.is_some())];
        let mut message = with_header(self.id, flags, counts);
        message.extend_from_slice(&self.section);
        let record = self.extension.map(|extension| extension.record(code >> 4));
        message.extend(record.into_iter().flatten());
        message
    }
}

/// How a server's answer ends: its code. None when it is no message.
pub fn code_of(answer: &[u8]) -> Option<u16> {
    header(answer).map(|[_, flags, ..]| flags & 0xf)
}

impl Extension {
    /// The record, with the upper bits of a code.
    fn record(self, upper: u16) -> [u8; 11] {
        let [_, upper] = upper.to_be_bytes();
        let [high, low] = self.size.to_be_bytes();
        let signatures = u8::from(self.signatures) << 7;
        let [kind_high, kind_low] = TYPE_OPT.to_be_bytes();
        [
            0, kind_high, kind_low, high, low, upper, 0, signatures, 0, 0, 0,
        ]
    }
}

/// Reads an `OPT` record that fills `record` to its end, and the version in it.
fn extension(record: &[u8]) -> Option<(Extension, u8)> {
    let [0, rest @ ..] = record else { return None };
    if u16_at(rest, 0)? != TYPE_OPT {
        return None;
    }
    let size = u16_at(rest, 2)?.clamp(PLAIN_SIZE, LARGEST_SIZE);
    let flags = u32::from(u16_at(rest, 4)?) << 16 | u32::from(u16_at(rest, 6)?);
    let options = usize::from(u16_at(rest, 8)?);
    if rest.len() != 10 + options {
        return None;
    }
    let [_, version, ..] = flags.to_be_bytes();
    let signatures = flags & SIGNATURES != 0;
    Some((Extension { size, signatures }, version))
}

/// The length of the name that `bytes` begin with. A question's name has no pointers.
fn name_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let label = *bytes.get(at)?;
        at += 1 + usize::from(label);
        if at > LONGEST_NAME || label > LONGEST_LABEL {
            return None;
        }
        if label == 0 {
            return Some(at);
        }
    }
}

/// The six numbers of the header.
fn header(message: &[u8]) -> Option<[u16; 6]> {
    let mut numbers = [0; 6];
    for (index, number) in numbers.iter_mut().enumerate() {
        *number = u16_at(message, 2 * index)?;
    }
    Some(numbers)
}

fn with_header(id: u16, flags: u16, counts: [u16; 4]) -> Vec<u8> {
    [id, flags]
        .into_iter()
        .chain(counts)
        .flat_map(u16::to_be_bytes)
        .collect()
}

/// An answer without a question, for a message that could not be read.
fn bare(id: u16, opcode: u16, code: Code) -> Vec<u8> {
    with_header(
        id,
        RESPONSE | RECURSION_AVAILABLE | opcode | code as u16,
        [0; 4],
    )
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
