//! The server.

use crate::value::Accept;
use soulbox_model::ByteSize;
use std::path::PathBuf;
use std::time::Duration;

/// The longest life of a sandbox that may be asked for: E2B's longest plan has a day; a month is for
/// those who own the machine.
const MONTH: Duration = Duration::from_secs(31 * 24 * 3600);

section! {
    /// `soulbox serve`.
    "server" Server {
        /// Where it listens: an address and a port. Whoever reaches it needs a key, but the traffic is not
        /// encrypted: leave it on the loopback, or use `tls_listen`.
        listen: String = |_| "127.0.0.1:3000".to_owned(), Accept::such(
            "an address and a port, such as 127.0.0.1:3000",
            |text: &String| text.parse::<std::net::SocketAddr>().is_ok(),
        );
        /// Where it listens for TLS; empty: nowhere.
        tls_listen: String = |_| String::new(), Accept::such(
            "an address and a port, or nothing",
            |text: &String| text.is_empty() || text.parse::<std::net::SocketAddr>().is_ok(),
        );
        /// The file with the certificate for TLS and those that vouch for it, in PEM; it must hold `domain` and
        /// `*.<domain>`. Without it, a certificate authority is made in the data directory, see `soulbox ca`.
        tls_cert: PathBuf = |_| PathBuf::new(), Accept::any();
        /// The file with the certificate's private key, in PEM.
        tls_key: PathBuf = |_| PathBuf::new(), Accept::any();
        /// How long a client may take for its side of the TLS handshake.
        handshake_timeout: Duration = |_| Duration::from_secs(10), Accept::between(Duration::from_millis(100), Duration::from_secs(600));
        /// The name below which sandboxes have their host names, `<port>-<id>.<domain>`, with `tls_listen`'s port
        /// unless that is 443 or another one is given here. Told to clients only while TLS is listened for.
        domain: String = |_| "sandbox.localhost".to_owned(), Accept::such(
            "a host name, and perhaps a port",
            |text: &String| !text.is_empty() && text.len() <= 253 && text.bytes().all(|b| {
                b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':')
            }),
        );
        /// Whether sandboxes may be made of the template `host`, and creates that want `base` get it while there
        /// is no `base`. It holds the host's own programs, and may lack what clients expect.
        allow_host_template: bool = |_| false, Accept::any();
        /// Whether a start builds the template `code-interpreter-v1`, which clients of E2B's code interpreter ask
        /// for, if it is missing. It takes a minute or two after `base`, and 1.8 GiB of disk.
        code_interpreter: bool = |_| false, Accept::any();
        /// How long a sandbox lives that asks for nothing.
        timeout: Duration = |_| Duration::from_secs(300), Accept::between(Duration::from_secs(1), MONTH);
        /// The longest life that may be asked for.
        max_timeout: Duration = |_| Duration::from_secs(24 * 3600), Accept::between(Duration::from_secs(1), MONTH);
        /// How many creates are worked on at once.
        creates: u32 = |_| 64, Accept::between(1, 4095);
        /// How many creates wait for their turn; whoever comes then is told to come again.
        queue: u32 = |_| 1024, Accept::between(0, 100_000);
        /// How long a create waits for its turn.
        queue_wait: Duration = |_| Duration::from_secs(30), Accept::between(Duration::from_millis(1), Duration::from_secs(600));
        /// How many ended sandboxes are remembered, with what happened to them.
        keep_ended: u32 = |_| 10_000, Accept::between(0, 10_000_000);
        /// How often it is looked what each sandbox uses.
        sample_interval: Duration = |_| Duration::from_secs(5), Accept::between(Duration::from_secs(1), Duration::from_secs(3600));
        /// How many such samples of each live sandbox are kept; one takes 64 bytes.
        samples: u32 = |_| 360, Accept::between(1, 100_000);
        /// The most terminals in browsers at once.
        terminals: u32 = |_| 256, Accept::between(0, 16_384);
        /// How long a client may take for the head of a request.
        header_timeout: Duration = |_| Duration::from_secs(30), Accept::between(Duration::from_millis(100), Duration::from_secs(600));
        /// How long a connection may be idle between requests. Longer than clients keep theirs, so that
        /// none is closed under a request: E2B's Python SDK keeps one for 300 s.
        idle_timeout: Duration = |_| Duration::from_secs(640), Accept::between(Duration::from_secs(1), Duration::from_secs(86_400));
        /// How long a body may stand still.
        body_timeout: Duration = |_| Duration::from_secs(60), Accept::between(Duration::from_millis(100), Duration::from_secs(3600));
        /// The longest body of a request that is not a file's or a sandbox's own.
        body: ByteSize = |_| ByteSize::mib(4), Accept::between(ByteSize::kib(4), ByteSize::mib(64));
        /// The most connections at once.
        connections: u32 = |_| 16_384, Accept::between(16, 1_000_000);
        /// The most connections to the ports of one sandbox at once.
        sandbox_connections: u32 = |_| 1024, Accept::between(1, 65_536);
        /// How long a connection to a sandbox's port is kept for the next request. Shorter than servers keep
        /// theirs, so that none is closed under a request: gunicorn waits 2 s, Node.js and uvicorn 5 s.
        sandbox_idle: Duration = |_| Duration::from_secs(1), Accept::between(Duration::from_millis(1), Duration::from_secs(600));
        /// Whether all sandboxes end when the server stops. Else they go on until their time is over, and the next
        /// server takes them over.
        end_on_stop: bool = |_| false, Accept::any();
        /// Whether a server that is told to stop takes no more creates, but serves until its last sandbox has ended.
        drain_sandboxes: bool = |_| false, Accept::any();
        /// How long a stop waits for what is going on.
        drain: Duration = |_| Duration::from_secs(10), Accept::between(Duration::ZERO, Duration::from_secs(86_400));
    }
}
