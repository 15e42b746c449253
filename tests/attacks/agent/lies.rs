//! What a hostile agent answers, as data, and what an honest one would.

/// A call of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Health,
    Start,
    Stat,
    List,
    Read,
    Write,
}

use Call::{Health, List, Read, Start, Stat, Write};

/// What the server does when it was asked.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    /// Says this and hangs up.
    Says(&'static [u8]),
    /// Says the first and then the second for as long as somebody listens.
    Endless(&'static [u8], &'static [u8]),
    /// Says the first and then a byte of the second now and then, again and again.
    Drips(&'static [u8], &'static [u8]),
    /// Says this and then nothing, and does not hang up.
    Stalls(&'static [u8]),
    /// Says a head and then a payload of so many bytes.
    Long(&'static [u8], usize),
    /// Says a stream's head and then frames: flags and text.
    Frames(&'static [(u8, &'static str)]),
}

use Answer::{Drips, Endless, Frames, Long, Says, Stalls};

const OK_JSON: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
pub(super) const STREAM: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/connect+json\r\n\r\n";

/// The frame that says that a command runs.
const STARTED: (u8, &str) = (0, r#"{"event":{"start":{"pid":1}}}"#);

/// What is answered, to which calls, and how.
pub(super) const LIES: &[(&str, &[Call], Answer)] = &[
    (
        "no HTTP at all",
        &[Health, Start, Stat, List, Read, Write],
        Says(b"garbage\r\n\r\n"),
    ),
    (
        "nothing, and the end",
        &[Health, Start, Stat, List, Read, Write],
        Says(b""),
    ),
    (
        "nothing, without an end",
        &[Health, Start, Stat, List, Read, Write],
        Stalls(b""),
    ),
    (
        "a head without an end",
        &[Health, Start, Read],
        Endless(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
    ),
    (
        "a header line without an end",
        &[Health, Start, Read],
        Endless(b"HTTP/1.1 200 OK\r\na: ", b"bbbbbbbbbbbbbbbb"),
    ),
    (
        "a status line without an end",
        &[Health, Start, Read],
        Endless(b"HTTP/1.1 200 ", b"OOOOOOOOOOOOOOOO"),
    ),
    (
        "a head that drips",
        &[Health, Start, Read],
        Drips(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
    ),
    (
        "interim answers for ever",
        &[Health, Start, Read],
        Endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ),
    (
        "another protocol",
        &[Health, Start, Stat, Read],
        Says(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    ),
    (
        "a way to somewhere else",
        &[Health, Start, Stat, Read, Write],
        Says(
            b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
        ),
    ),
    (
        "a status that is none",
        &[Health, Start, Read],
        Says(b"HTTP/1.1 9999 Huh\r\n\r\n"),
    ),
    (
        "a body without an end",
        &[Health, Stat, List, Write],
        Endless(OK_JSON, b"                                "),
    ),
    (
        "pieces without an end",
        &[Health, Stat, List, Write],
        Endless(CHUNKED, b"4\r\n    \r\n"),
    ),
    ("a body that drips", &[Stat, Write], Drips(OK_JSON, b"  ")),
    (
        "a body that stalls",
        &[Stat, List, Write],
        Stalls(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"),
    ),
    (
        "a body shorter than it says",
        &[Stat, List, Write, Read],
        Says(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{}"),
    ),
    (
        "a length that is huge",
        &[Stat, List, Read],
        Says(b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\nx"),
    ),
    (
        "a length below zero",
        &[Stat, Read],
        Says(b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nx"),
    ),
    (
        "two lengths",
        &[Stat, Read],
        Says(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx"),
    ),
    (
        "a piece whose size overflows",
        &[Stat, Read],
        Says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nx"),
    ),
    (
        "a piece whose size is no number",
        &[Stat, Read],
        Says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n"),
    ),
    (
        "a piece with an extension without end",
        &[Stat, Read],
        Endless(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;",
            b"eeeeeeeeeeeeeeee",
        ),
    ),
    (
        "trailers without end",
        &[Stat, Write],
        Endless(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
            b"a: b\r\n",
        ),
    ),
    (
        "no JSON",
        &[Stat, List, Write],
        Says(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{]}"),
    ),
    (
        "JSON of other types",
        &[Stat],
        Says(b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"entry\": [[5]]}"),
    ),
    (
        "numbers out of range",
        &[Stat],
        Says(b"HTTP/1.1 200 OK\r\n\r\n{\"entry\":{\"size\":\"99999999999999999999999\"}}"),
    ),
    (
        "JSON nested without end",
        &[Stat, List],
        Endless(OK_JSON, b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["),
    ),
    (
        "text that is not UTF-8",
        &[Stat],
        Says(b"HTTP/1.1 200 OK\r\n\r\n{\"entry\":{\"name\":\"\xff\xfe\"}}"),
    ),
    (
        "an error with a text of a megabyte",
        &[Stat, Read],
        Long(
            b"HTTP/1.1 500 No\r\ncontent-length: 4000000\r\n\r\n",
            4_000_000,
        ),
    ),
    (
        "a short answer of more than a megabyte",
        &[Stat, Write],
        Long(
            b"HTTP/1.1 200 OK\r\ncontent-length: 4000000\r\n\r\n",
            4_000_000,
        ),
    ),
    (
        "a listing of more than 64 megabytes",
        &[List],
        Long(
            b"HTTP/1.1 200 OK\r\ncontent-length: 80000000\r\n\r\n",
            80_000_000,
        ),
    ),
    (
        "a file larger than asked for",
        &[Read],
        Long(
            b"HTTP/1.1 200 OK\r\ncontent-length: 4000000\r\n\r\n",
            4_000_000,
        ),
    ),
    (
        "a file larger than asked for, without a length",
        &[Read],
        Endless(CHUNKED, b"20\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"),
    ),
    (
        "a file that stalls",
        &[Read],
        Stalls(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nx"),
    ),
    (
        "a frame of four gigabytes",
        &[Start],
        Says(b"HTTP/1.1 200 OK\r\n\r\n\0\xff\xff\xff\xff"),
    ),
    (
        "a frame larger than an event",
        &[Start],
        Long(b"HTTP/1.1 200 OK\r\n\r\n\0\x00\x10\0\0", 0x0010_0000),
    ),
    (
        "a frame with flags that are none",
        &[Start],
        Says(b"HTTP/1.1 200 OK\r\n\r\n\x7c\0\0\0\x02{}"),
    ),
    (
        "a compressed frame",
        &[Start],
        Says(b"HTTP/1.1 200 OK\r\n\r\n\x01\0\0\0\x02{}"),
    ),
    (
        "a frame that stops in the middle",
        &[Start],
        Says(b"HTTP/1.1 200 OK\r\n\r\n\0\0\0\0\x09{"),
    ),
    ("a frame that never comes", &[Start], Stalls(STREAM)),
    (
        "a first event that is no start",
        &[Start],
        Frames(&[(0, r#"{"event":{"data":{}}}"#)]),
    ),
    (
        "a start without a number",
        &[Start],
        Frames(&[(0, r#"{"event":{"start":5}}"#)]),
    ),
    (
        "a process number below zero",
        &[Start],
        Frames(&[(0, r#"{"event":{"start":{"pid":-1}}}"#)]),
    ),
    (
        "output that is no base64",
        &[Start],
        Frames(&[STARTED, (0, r#"{"event":{"data":{"stdout":"*!*"}}}"#)]),
    ),
    (
        "an exit code out of range",
        &[Start],
        Frames(&[
            STARTED,
            (0, r#"{"event":{"end":{"exitCode":99999999999}}}"#),
        ]),
    ),
    (
        "the end of a stream without the end of its command",
        &[Start],
        Frames(&[STARTED, (2, "{}")]),
    ),
    (
        "an error in place of a start, with control characters",
        &[Start],
        Frames(&[(2, r#"{"error":{"code":"x","message":"\u001b[2J"}}"#)]),
    ),
    (
        "an end of the stream that is no JSON",
        &[Start],
        Frames(&[(2, "no")]),
    ),
];

/// Honest answers, for the controls.
pub(super) fn honest(call: Call) -> Answer {
    match call {
        Health => Says(b"HTTP/1.1 204 No Content\r\n\r\n"),
        Start => Frames(&[
            STARTED,
            (0, r#"{"event":{"end":{"exitCode":0,"exited":true,"status":"exit status 0"}}}"#),
            (2, "{}"),
        ]),
        Stat => Says(b"HTTP/1.1 200 OK\r\ncontent-length: 27\r\n\r\n{\"entry\":{\"name\":\"a name\"}}"),
        List => Says(b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"entries\":[]}"),
        Read => Says(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"),
        Write => Says(b"HTTP/1.1 200 OK\r\ncontent-length: 46\r\n\r\n[{\"name\":\"x\",\"type\":\"file\",\"path\":\"/tmp/x\"  }]"),
    }
}
