//! Uploads and compositions.

use super::{RAW, assert_error, put};
use crate::http::Connection;
use crate::support::Agent;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;

const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=XX");

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A form of (field, file name, content).
fn form(parts: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let mut form = Vec::new();
    for (field, name, content) in parts {
        form.extend(
            format!(
                "--XX\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n"
            )
            .bytes(),
        );
        form.extend(*content);
        form.extend(b"\r\n");
    }
    form.extend(b"--XX--\r\n");
    form
}

#[test]
fn a_raw_upload_is_written() {
    let agent = Agent::start().init();
    let path = agent.path("new/dir/a file");
    let query = format!("path={}", path.replace(' ', "+"));
    let answer = put(&agent, &query, &[RAW], b"content");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!([{"path": path, "name": "a file", "type": "file"}])
    );
    assert_eq!(std::fs::read(&path).unwrap(), b"content");
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
    let directory = std::fs::metadata(agent.path("new/dir")).unwrap();
    assert_eq!(directory.mode() & 0o777, 0o755);
    put(&agent, &query, &[RAW], b"x");
    assert_eq!(std::fs::read(&path).unwrap(), b"x", "an upload replaces");
}

#[test]
fn a_form_writes_each_of_its_files() {
    let agent = Agent::start().init();
    let (one, two) = (agent.path("one"), agent.path("sub/two \u{e4}"));
    let body = form(&[
        ("file", &one, b"first"),
        ("other", "ignored", b"nothing"),
        ("file", &two, b"\r\n--X\r\n"),
        ("file", &agent.path("empty"), b""),
    ]);
    let answer = put(&agent, "", &[FORM], &body);
    let written = |path: &str| {
        let name = path.rsplit('/').next().unwrap();
        json!({"path": path, "name": name, "type": "file"})
    };
    assert_eq!(
        answer.json(),
        json!([written(&one), written(&two), written(&agent.path("empty"))])
    );
    assert_eq!(std::fs::read(&one).unwrap(), b"first");
    assert_eq!(std::fs::read(&two).unwrap(), b"\r\n--X\r\n");
    assert_eq!(std::fs::read(agent.path("empty")).unwrap(), b"");

    let target = agent.path("by-query");
    let answer = put(
        &agent,
        &format!("path={target}"),
        &[FORM],
        &form(&[("file", "x", b"y")]),
    );
    assert_eq!(answer.json()[0]["path"], target);
    assert_eq!(put(&agent, "", &[FORM], &form(&[])).json(), json!([]));
}

#[test]
fn forms_that_make_no_sense_are_refused() {
    let agent = Agent::start().init();
    let one = agent.path("one");
    let twice = form(&[("file", &one, b"a"), ("file", &one, b"b")]);
    assert_error(
        &put(&agent, "", &[FORM], &twice),
        400,
        "more than one file for path",
    );
    let cut = &form(&[("file", &one, b"a")])[..60];
    assert_error(
        &put(&agent, "", &[FORM], cut),
        400,
        "ends before its last boundary",
    );
    let none = [("content-type", "multipart/form-data")];
    assert_error(&put(&agent, "", &none, b""), 400, "boundary");
    let nameless = b"--XX\r\nContent-Disposition: form-data; name=file\r\n\r\nx\r\n--XX--";
    assert_error(&put(&agent, "", &[FORM], nameless), 400, "no filename");
}

#[test]
fn a_chunked_upload_is_written() {
    let agent = Agent::start().init();
    let path = agent.path("chunked");
    let mut connection = Connection::open(&agent);
    let head = format!(
        "POST /files?path={path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/octet-stream\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    connection.write(head.as_bytes()).unwrap();
    let piece = vec![b'x'; 10_000];
    for _ in 0..100 {
        connection
            .write(&[&b"2710\r\n"[..], &piece, b"\r\n"].concat())
            .unwrap();
    }
    connection.write(b"0\r\n\r\n").unwrap();
    assert_eq!(connection.answer().status, 200);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 1_000_000);
}

#[test]
fn compressed_uploads_are_decompressed() {
    let agent = Agent::start().init();
    let coding = ("content-encoding", "gzip");
    // Half a megabyte that becomes a few hundred bytes.
    let content = vec![b'x'; 500_000];
    let path = agent.path("raw");
    let query = format!("path={path}");
    assert_eq!(
        put(&agent, &query, &[RAW, coding], &gzip(&content)).status,
        200
    );
    assert_eq!(std::fs::read(&path).unwrap(), content);
    let two = [gzip(b"one "), gzip(b"two")].concat();
    assert_eq!(put(&agent, &query, &[RAW, coding], &two).status, 200);
    assert_eq!(std::fs::read(&path).unwrap(), b"one two");
    let body = gzip(&form(&[("file", &agent.path("in form"), b"y")]));
    assert_eq!(put(&agent, "", &[FORM, coding], &body).status, 200);
    assert_eq!(std::fs::read(agent.path("in form")).unwrap(), b"y");

    let cut = &gzip(&content)[..100];
    assert_error(
        &put(&agent, &query, &[RAW, coding], cut),
        400,
        "cannot decompress",
    );
    assert_error(
        &put(&agent, &query, &[RAW, coding], b"plain"),
        400,
        "cannot decompress",
    );
    let other = ("content-encoding", "br");
    assert_error(
        &put(&agent, &query, &[RAW, other], b""),
        400,
        "unsupported content encoding",
    );
}

#[test]
fn uploads_that_cannot_be_are_refused() {
    let agent = Agent::start().init();
    assert_error(&put(&agent, "", &[RAW], b"x"), 400, "no path");
    let directory = format!("path={}", agent.directory().display());
    assert_error(
        &put(&agent, &directory, &[RAW], b"x"),
        400,
        "is a directory",
    );
    let path = format!("path={}", agent.path("x"));
    let json = [("content-type", "application/json")];
    assert_error(
        &put(&agent, &path, &json, b"{}"),
        400,
        "unsupported content type",
    );
    assert_error(
        &put(&agent, &path, &[], b""),
        400,
        "unsupported content type",
    );
    let user = format!("{path}&username=root123");
    assert_error(
        &put(&agent, &user, &[RAW], b""),
        401,
        "invalid username: 'root123'",
    );
    assert_error(&put(&agent, "path=%ff", &[RAW], b""), 400, "UTF-8");
    std::fs::write(agent.path("file"), "").unwrap();
    let below = format!("path={}", agent.path("file/below"));
    assert_error(&put(&agent, &below, &[RAW], b""), 400, "Not a directory");
    // A full disk, as every Linux has one.
    assert_error(
        &put(&agent, "path=/dev/full", &[RAW], b"x"),
        507,
        "not enough disk space",
    );
    assert!(!std::path::Path::new(&agent.path("x")).exists());
}

#[test]
fn uploads_belong_to_their_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let agent = Agent::start().init();
    let query = format!("path={}&username=nobody", agent.path("d/f"));
    assert_eq!(put(&agent, &query, &[RAW], b"x").status, 200);
    for name in ["d", "d/f"] {
        assert_eq!(
            std::fs::metadata(agent.path(name)).unwrap().uid(),
            65_534,
            "{name}"
        );
    }
}

#[test]
fn metadata_stays_with_the_file() {
    let agent = Agent::start().init();
    let path = agent.path("f");
    let query = format!("path={path}");
    let stat = || {
        let (_, answer) = agent.unary("filesystem.Filesystem/Stat", &json!({"path": path}));
        answer["entry"].get("metadata").cloned()
    };
    let headers = [
        RAW,
        ("X-Metadata-Author", "me"),
        ("x-metadata-why", "a test"),
    ];
    let answer = put(&agent, &query, &headers, b"x");
    let metadata = json!({"author": "me", "why": "a test"});
    assert_eq!(answer.json()[0]["metadata"], metadata);
    if stat().is_none() {
        eprintln!("skipped: the file system of {path} keeps no attributes");
        return;
    }
    assert_eq!(stat(), Some(metadata));
    let answer = put(&agent, &query, &[RAW], b"y");
    assert_eq!(answer.json()[0].get("metadata"), None);
    assert_eq!(stat(), None, "an upload without metadata clears it");
    let bad = [RAW, ("x-metadata-k", "\u{e4}")];
    assert_error(&put(&agent, &query, &bad, b"z"), 400, "not printable ASCII");
    assert_eq!(
        std::fs::read(&path).unwrap(),
        b"y",
        "a refused upload changes nothing"
    );
}

#[test]
fn files_are_composed() {
    let agent = Agent::start().init();
    let (one, two, target) = (agent.path("1"), agent.path("2"), agent.path("new/all"));
    let compose = |sources: &[&str], destination: &str| {
        let body = json!({"source_paths": sources, "destination": destination}).to_string();
        agent.request("POST", "/files/compose", &[], body.as_bytes())
    };
    std::fs::write(&one, "one ").unwrap();
    std::fs::write(&two, "two").unwrap();
    let answer = compose(&[&one, &two], &target);
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({"path": target, "name": "all", "type": "file"})
    );
    assert_eq!(std::fs::read(&target).unwrap(), b"one two");
    assert!(!std::path::Path::new(&one).exists() && !std::path::Path::new(&two).exists());

    assert_error(&compose(&[&one], &target), 404, "does not exist");
    assert_eq!(
        std::fs::read(&target).unwrap(),
        b"one two",
        "a refused one changes nothing"
    );
    assert_error(&compose(&[], &target), 400, "source_paths");
    assert_error(&compose(&[&target], &target), 400, "is the destination");
    assert_error(&compose(&[&target], ""), 400, "destination");
    assert_error(&compose(&["/tmp"], &target), 400, "not a regular file");
    assert_error(
        &agent.request("POST", "/files/compose", &[], b"{"),
        400,
        "invalid body",
    );
    let left: Vec<_> = std::fs::read_dir(agent.path("new")).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing is left beside the result");
}

#[test]
fn an_upload_that_stops_leaves_what_came() {
    let agent = Agent::start().init();
    let path = agent.path("part");
    let mut connection = Connection::open(&agent);
    let head = format!(
        "POST /files?path={path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/octet-stream\r\n\
         content-length: 1000000\r\n\r\nonly this"
    );
    connection.write(head.as_bytes()).unwrap();
    drop(connection);
    let _: Value = agent.unary("process.Process/List", &json!({})).1;
    assert_eq!(agent.request("GET", "/health", &[], b"").status, 204);
}
