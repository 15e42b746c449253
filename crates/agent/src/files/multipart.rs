//! `multipart/form-data`, cut into parts as it arrives.

use crate::files::disposition::{decode_extended, parameter, undo_form_escapes};
use crate::limits;
use crate::rpc::text;
use hyper::header::{CONTENT_TYPE, HeaderMap};

/// Why a form cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MultipartError {
    #[error("content type names no boundary of 1 to 70 characters")]
    Boundary,
    #[error("form has more than {} parts", limits::PARTS)]
    TooManyParts,
    #[error("head of a part is longer than {} bytes", limits::PART_HEAD)]
    HeadTooLong,
    #[error("head of a part is malformed")]
    Head,
    #[error("boundary is followed by something else than a line end")]
    Delimiter,
    #[error("form ends before its last boundary")]
    Truncated,
}

/// What the head of a part says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PartHead {
    /// The form field's name.
    pub(crate) name: Option<String>,
    /// The file's name, with slashes if it has them.
    pub(crate) filename: Option<String>,
}

/// What comes next in a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A part begins.
    Part(PartHead),
    /// Bytes of the part.
    Data(Vec<u8>),
    /// The part is complete.
    PartEnd,
    /// More bytes are needed.
    Starved,
    /// The form is complete; what follows means nothing.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Preamble,
    /// Right after a boundary.
    Delimiter,
    /// In the head of a part.
    Head,
    /// In a part.
    Body,
    /// After the last boundary.
    Over,
}

/// Cuts a form into parts. Holds one head or one piece of input at most.
#[derive(Debug)]
pub(crate) struct Multipart {
    /// What comes between two parts: line end, two dashes, boundary.
    delimiter: Vec<u8>,
    buffer: Vec<u8>,
    start: usize,
    state: State,
    parts: usize,
}

impl Multipart {
    /// A reader of a form with the boundary that the content type names.
    pub(crate) fn new(headers: &HeaderMap) -> Result<Self, MultipartError> {
        let kind = text(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
        let boundary = parameter(kind, "boundary").ok_or(MultipartError::Boundary)?;
        if !(1..=70).contains(&boundary.len()) {
            return Err(MultipartError::Boundary);
        }
        let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
        // The first boundary may stand at the very beginning: as if a line had just ended.
        let buffer = b"\r\n".to_vec();
        Ok(Self {
            delimiter,
            buffer,
            start: 0,
            state: State::Preamble,
            parts: 0,
        })
    }

    /// Adds bytes as they came.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.state != State::Over {
            self.buffer.extend_from_slice(bytes);
        }
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// What comes next.
    pub(crate) fn next(&mut self) -> Result<Event, MultipartError> {
        loop {
            let event = match self.state {
                State::Preamble => self.skip_preamble(),
                State::Delimiter => self.after_delimiter()?,
                State::Head => self.head()?,
                State::Body => Some(self.body()),
                State::Over => Some(Event::End),
            };
            if let Some(event) = event {
                return Ok(event);
            }
        }
    }

    /// Checks, when the input is over, that the form was.
    pub(crate) fn finish(&self) -> Result<(), MultipartError> {
        if self.state == State::Over {
            Ok(())
        } else {
            Err(MultipartError::Truncated)
        }
    }

    fn skip_preamble(&mut self) -> Option<Event> {
        match find(self.unread(), &self.delimiter) {
            Some(at) => {
                self.start += at + self.delimiter.len();
                self.state = State::Delimiter;
                None
            }
            None => {
                self.start += self.certain();
                Some(Event::Starved)
            }
        }
    }

    /// How many unread bytes are certainly not the beginning of a delimiter.
    fn certain(&self) -> usize {
        (self.unread().len() + 1).saturating_sub(self.delimiter.len())
    }

    fn after_delimiter(&mut self) -> Result<Option<Event>, MultipartError> {
        let rest = self.unread();
        // Blanks may stand behind a boundary.
        let blanks = rest
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        if blanks > limits::PART_HEAD {
            return Err(MultipartError::Delimiter);
        }
        match rest.get(blanks..).unwrap_or_default() {
            [b'-', b'-', ..] if blanks == 0 => self.state = State::Over,
            [b'\r', b'\n', ..] => {
                // The line end stays: it begins the head's lines.
                self.start += blanks;
                self.state = State::Head;
            }
            [] | [b'\r'] => return Ok(Some(Event::Starved)),
            [b'-'] if blanks == 0 => return Ok(Some(Event::Starved)),
            _ => return Err(MultipartError::Delimiter),
        }
        Ok(None)
    }

    fn head(&mut self) -> Result<Option<Event>, MultipartError> {
        const END: &[u8] = b"\r\n\r\n";
        let Some(length) = find(self.unread(), END) else {
            if self.unread().len() > limits::PART_HEAD {
                return Err(MultipartError::HeadTooLong);
            }
            return Ok(Some(Event::Starved));
        };
        if length > limits::PART_HEAD {
            return Err(MultipartError::HeadTooLong);
        }
        self.parts += 1;
        if self.parts > limits::PARTS {
            return Err(MultipartError::TooManyParts);
        }
        let head = self.unread().get(..length).unwrap_or_default();
        let head = parse_head(std::str::from_utf8(head).map_err(|_| MultipartError::Head)?);
        self.start += length + END.len();
        self.state = State::Body;
        Ok(Some(Event::Part(head)))
    }

    fn body(&mut self) -> Event {
        match find(self.unread(), &self.delimiter) {
            Some(0) => {
                self.start += self.delimiter.len();
                self.state = State::Delimiter;
                Event::PartEnd
            }
            Some(length) => self.data(length),
            None if self.certain() > 0 => self.data(self.certain()),
            None => Event::Starved,
        }
    }

    fn data(&mut self, length: usize) -> Event {
        let data = self.unread().get(..length).unwrap_or_default().to_vec();
        self.start += length;
        Event::Data(data)
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, wanted)
}

/// Reads the lines of a head; only the content's disposition counts.
fn parse_head(head: &str) -> PartHead {
    let disposition = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim()
            .eq_ignore_ascii_case("content-disposition")
            .then_some(value)
    });
    let Some(disposition) = disposition else {
        return PartHead::default();
    };
    PartHead {
        name: parameter(disposition, "name"),
        filename: parameter(disposition, "filename*")
            .and_then(|value| decode_extended(&value))
            .or_else(|| parameter(disposition, "filename").map(|name| undo_form_escapes(&name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reader() -> Multipart {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            "multipart/form-data; boundary=\"bound ary\""
                .parse()
                .unwrap(),
        );
        Multipart::new(&headers).unwrap()
    }

    /// Reads a form in pieces: its parts with their data.
    fn read(pieces: &[&[u8]]) -> Result<Vec<(PartHead, Vec<u8>)>, MultipartError> {
        let mut reader = reader();
        let mut parts: Vec<(PartHead, Vec<u8>)> = Vec::new();
        for piece in pieces {
            reader.push(piece);
            loop {
                match reader.next()? {
                    Event::Part(head) => parts.push((head, Vec::new())),
                    Event::Data(data) => parts.last_mut().unwrap().1.extend(data),
                    Event::PartEnd => {}
                    Event::Starved | Event::End => break,
                }
            }
        }
        reader.finish()?;
        Ok(parts)
    }

    fn form(parts: &[Vec<u8>]) -> Vec<u8> {
        let mut form = b"preamble".to_vec();
        for (index, part) in parts.iter().enumerate() {
            form.extend(b"\r\n--bound ary \t\r\nContent-Disposition: form-data; name=\"file\"; ");
            form.extend(format!("filename=\"/a/{index}\"\r\nX: y\r\n\r\n").bytes());
            form.extend(part);
        }
        form.extend(b"\r\n--bound ary--\r\nepilogue");
        form
    }

    /// Bytes that look like the delimiter more often than chance would have it.
    fn data() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..20),
            Just(b"\r\n".to_vec()),
            Just(b"\r\n--bound".to_vec()),
            Just(b"\r\r\n--bound ar".to_vec()),
            Just(b"--bound ary".to_vec()),
        ];
        prop::collection::vec(piece, 0..6)
            .prop_map(|pieces| pieces.concat())
            .prop_filter("holds no delimiter", |data| {
                find(data, b"\r\n--bound ary").is_none()
            })
    }

    proptest! {
        #[test]
        fn forms_survive_any_split(
            parts in prop::collection::vec(data(), 1..4),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let form = form(&parts);
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(form.len() + 1)).collect();
            at.extend([0, form.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|w| &form[w[0]..w[1]]).collect();
            let read = read(&pieces).unwrap();
            prop_assert_eq!(read.len(), parts.len());
            for (index, (head, data)) in read.iter().enumerate() {
                prop_assert_eq!(head.name.as_deref(), Some("file"));
                let filename = format!("/a/{index}");
                prop_assert_eq!(head.filename.as_deref(), Some(filename.as_str()));
                prop_assert_eq!(data, &parts[index]);
            }
        }

        #[test]
        fn a_cut_form_is_told(parts in prop::collection::vec(data(), 1..3), back in 12_usize..40) {
            let form = form(&parts);
            prop_assert!(read(&[&form[..form.len() - back]]).is_err());
        }

        #[test]
        fn any_bytes_are_read_without_panic(
            bytes in "(\r\n|--bound ary|--|[a-z:;=\"*%' ]){0,40}",
        ) {
            let _ = read(&[bytes.as_bytes()]);
        }
    }

    #[test]
    fn heads_are_bounded() {
        let mut reader = reader();
        reader.push(b"--bound ary\r\n");
        reader.push(&vec![b'x'; limits::PART_HEAD + 10]);
        assert_eq!(reader.next(), Err(MultipartError::HeadTooLong));
    }

    #[test]
    fn odd_forms_are_read_or_refused() {
        let bare = b"--bound ary\r\n\r\ndata\r\n--bound ary--";
        assert_eq!(
            read(&[bare]).unwrap(),
            [(PartHead::default(), b"data".to_vec())]
        );
        let empty = b"--bound ary\r\n\r\n\r\n--bound ary--";
        assert_eq!(read(&[empty]).unwrap(), [(PartHead::default(), Vec::new())]);
        assert_eq!(read(&[b"--bound ary--"]).unwrap(), []);
        assert_eq!(read(&[b"--bound aryx"]), Err(MultipartError::Delimiter));
        assert_eq!(read(&[b""]), Err(MultipartError::Truncated));
        let utf8 = b"--bound ary\r\n\xff: x\r\n\r\n";
        assert_eq!(read(&[utf8]), Err(MultipartError::Head));
    }

    #[test]
    fn boundaries_are_checked() {
        for kind in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "x; boundary=\"\"",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, kind.parse().unwrap());
            assert_eq!(
                Multipart::new(&headers).unwrap_err(),
                MultipartError::Boundary
            );
        }
    }
}
