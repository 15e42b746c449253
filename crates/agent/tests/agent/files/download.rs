//! Downloads.

use super::{RAW, assert_error, get, put};
use crate::http::Connection;
use crate::support::Agent;
use flate2::read::GzDecoder;
use std::io::Read as _;

#[test]
fn a_relative_path_starts_at_home() {
    let agent = Agent::start().init();
    let home = std::fs::read_to_string("/etc/passwd").unwrap();
    let me = crate::support::me() + ":";
    let line = home.lines().find(|line| line.starts_with(&me)).unwrap();
    let home = line.split(':').nth(5).unwrap();
    let answer = get(&agent, "no-such-file-in-home", &[]);
    let message = format!(
        "path '{}/no-such-file-in-home' does not exist",
        home.trim_end_matches('/')
    );
    assert_error(&answer, 404, &message);
}

#[test]
fn a_download_says_what_it_is() {
    let agent = Agent::start().init();
    let path = agent.path("page.html");
    std::fs::write(&path, "<p>").unwrap();
    let answer = get(&agent, &path, &[("accept-encoding", "gzip, deflate")]);
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"<p>"[..]));
    assert_eq!(
        answer.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(
        answer.header("content-disposition"),
        Some("inline; filename=page.html")
    );
    assert_eq!(answer.header("content-length"), Some("3"));
    assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
    assert_eq!(answer.header("accept-ranges"), Some("bytes"));
    assert_eq!(answer.header("content-encoding"), None);
    std::fs::write(agent.path("empty"), "").unwrap();
    let answer = get(&agent, &agent.path("empty"), &[]);
    assert_eq!(
        (answer.status, answer.header("content-length")),
        (200, Some("0"))
    );
    let mut connection = Connection::open(&agent);
    connection.send("HEAD", &format!("/files?path={path}"), &[], b"");
    let head = connection.head();
    let length = head
        .headers
        .iter()
        .find(|(name, _)| name == "content-length");
    assert_eq!((head.status, length.unwrap().1.as_str()), (200, "3"));
}

#[test]
fn a_large_download_arrives_whole() {
    let agent = Agent::start().init();
    let content: Vec<u8> = (0_u32..1_000_000).flat_map(u32::to_le_bytes).collect();
    std::fs::write(agent.path("large"), &content).unwrap();
    assert!(get(&agent, &agent.path("large"), &[]).body == content);
}

#[test]
fn gzip_is_sent_to_those_who_ask_for_it_alone() {
    let agent = Agent::start().init();
    let content = b"compressible ".repeat(50_000);
    std::fs::write(agent.path("f"), &content).unwrap();
    let answer = get(&agent, &agent.path("f"), &[("accept-encoding", "gzip")]);
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert!(answer.body.len() < content.len() / 10);
    let mut plain = Vec::new();
    GzDecoder::new(answer.body.as_slice())
        .read_to_end(&mut plain)
        .unwrap();
    assert_eq!(plain, content);
    let answer = get(
        &agent,
        &agent.path("f"),
        &[("accept-encoding", "br, identity;q=0")],
    );
    assert_error(&answer, 406, "no acceptable encoding");
}

#[test]
fn parts_of_files_are_sent() {
    let agent = Agent::start().init();
    std::fs::write(agent.path("f"), "0123456789").unwrap();
    let part = |range: &str| get(&agent, &agent.path("f"), &[("range", range)]);
    let answer = part("bytes=2-5");
    assert_eq!((answer.status, answer.body.as_slice()), (206, &b"2345"[..]));
    assert_eq!(answer.header("content-range"), Some("bytes 2-5/10"));
    assert_eq!(part("bytes=-3").body, b"789");
    let answer = part("bytes=10-");
    assert_error(&answer, 416, "10 bytes");
    assert_eq!(answer.header("content-range"), Some("bytes */10"));
    assert_eq!(part("bytes=0-1,3-4").status, 200);
    let modified = part("bytes=0-0")
        .header("last-modified")
        .unwrap()
        .to_owned();
    let again = get(
        &agent,
        &agent.path("f"),
        &[("if-modified-since", &modified)],
    );
    assert_eq!((again.status, again.body.len()), (304, 0));
}

#[test]
fn files_that_know_no_size_are_read_to_their_end() {
    let agent = Agent::start().init();
    let boot_id = get(&agent, "/proc/sys/kernel/random/boot_id", &[]);
    assert_eq!((boot_id.status, boot_id.body.len()), (200, 37));
    let gzip = [("accept-encoding", "gzip")];
    let boot_id = get(&agent, "/proc/sys/kernel/random/boot_id", &gzip);
    let mut plain = Vec::new();
    GzDecoder::new(boot_id.body.as_slice())
        .read_to_end(&mut plain)
        .unwrap();
    assert_eq!(plain.len(), 37);
    // Claims a size of 4096 bytes.
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    if let Ok(content) = std::fs::read(path) {
        assert_eq!(get(&agent, path, &[]).body, content);
    }
    assert_eq!(get(&agent, "/proc/self/comm", &[]).body, b"soulbox-agent\n");
}

#[test]
fn what_cannot_be_read_is_refused() {
    let agent = Agent::start().init();
    let missing = agent.path("none");
    assert_error(
        &get(&agent, &missing, &[]),
        404,
        &format!("path '{missing}' does not exist"),
    );
    assert_error(&get(&agent, "/tmp", &[]), 400, "is a directory");
    assert_error(&get(&agent, "/dev/null", &[]), 400, "not a regular file");
    let pipe = agent.path("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
    assert_error(&get(&agent, &pipe, &[]), 400, "not a regular file");
    assert_error(&put(&agent, &format!("path={pipe}"), &[RAW], b"x"), 400, "");
    assert_error(&get(&agent, &agent.path("agent.sock"), &[]), 400, "socket");
    let user = format!("{missing}&username=root123");
    assert_error(&get(&agent, &user, &[]), 401, "invalid username: 'root123'");
    assert_error(&agent.request("DELETE", "/files", &[], b""), 405, "DELETE");
}

#[test]
fn a_file_that_shrinks_cuts_the_connection() {
    let agent = Agent::start().init();
    let path = agent.path("f");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(50_000_000).unwrap();
    let mut connection = Connection::open(&agent);
    connection.send("GET", &format!("/files?path={path}"), &[], b"");
    assert_eq!(connection.head().status, 200);
    file.set_len(1).unwrap();
    assert!(connection.read_to_end() < 50_000_000);
}
