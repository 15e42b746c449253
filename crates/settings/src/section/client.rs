//! The command line as a client of a server.

use crate::value::Accept;
use soulbox_model::ByteSize;
use std::path::PathBuf;
use std::time::Duration;

section! {
    /// The command line as a client of a server. Its key comes from the variable `SOULBOX_API_KEY` or
    /// `E2B_API_KEY`, from `--api-key-file`, or from the file that a server on this machine wrote.
    "client" Client {
        /// The server, such as `http://127.0.0.1:3000` or `https://box.example`. When it is set, `soulbox run` makes its sandbox there
        /// instead of by an engine of its own. Empty: verbs that need a server take the one whose data
        /// directory this is.
        url: String = |_| String::new(), Accept::such(
            "a URL such as http://127.0.0.1:3000, or nothing",
            |text: &String| text.is_empty() || is_url(text),
        );
        /// The file with certificates, in PEM, that vouch for a server with `https`, beside the system's own and
        /// beside the authority that a server with the same data directory made.
        ca: PathBuf = |_| PathBuf::new(), Accept::any();
        /// Until a connection stands, the handshake of TLS included.
        connect_timeout: Duration = |_| Duration::from_secs(5), Accept::between(Duration::from_millis(10), Duration::from_secs(600));
        /// Until an answer begins. Longer than a server lets a create wait for its turn (`server.queue_wait`).
        answer_timeout: Duration = |_| Duration::from_secs(90), Accept::between(Duration::from_millis(100), Duration::from_secs(3600));
        /// How long `exec` and `shell` ask for the output of their command again after the connection to the server
        /// broke, until the server is back.
        reconnect: Duration = |_| Duration::from_secs(30), Accept::between(Duration::from_millis(100), Duration::from_secs(24 * 3600));
        /// The longest answer that is read whole.
        answer: ByteSize = |_| ByteSize::mib(16), Accept::between(ByteSize::kib(64), ByteSize::gib(1));
    }
}

/// Whether it is a URL of the form that the client takes: no path, no user, no query.
fn is_url(text: &str) -> bool {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let fits =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']' | b'_');
    rest.is_some_and(|rest| {
        let host = rest.strip_suffix('/').unwrap_or(rest);
        !host.is_empty() && host.len() <= 300 && host.bytes().all(fits)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_host_and_nothing_else() {
        for good in [
            "http://127.0.0.1:3000",
            "http://[::1]:80/",
            "https://box.example",
        ] {
            assert!(is_url(good), "{good}");
        }
        for bad in [
            "",
            "http://",
            "127.0.0.1:3000",
            "ftp://x",
            "http://a/b",
            "http://u@h",
            "http://a b",
        ] {
            assert!(!is_url(bad), "{bad}");
        }
    }
}
