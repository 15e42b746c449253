//! Which name servers are asked: the operator's choice, or those of the host's `resolv.conf`.

use rustix::net::{AddressFamily, SocketType, netdevice};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// The port of name servers.
const PORT: u16 = 53;
/// As many servers are asked as glibc would ask (`MAXNS` in `resolv.h`).
const MOST: usize = 3;
/// A longer `resolv.conf` is read to here.
const LONGEST: u64 = 64 * 1024;
/// The file is looked at no more often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// What systemd-resolved writes into `resolv.conf`.
const STUB: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)), PORT);
/// Where systemd-resolved writes the servers that it asks itself.
const BEHIND_STUB: &str = "/run/systemd/resolve/resolv.conf";

/// The name servers that are asked.
#[derive(Debug)]
pub struct Upstreams {
    files: Option<Files>,
    known: Mutex<Known>,
    /// The server that answered last is asked first.
    first: AtomicUsize,
}

#[derive(Debug)]
struct Files {
    conf: PathBuf,
    behind_stub: PathBuf,
}

#[derive(Debug)]
struct Known {
    servers: Vec<SocketAddr>,
    looked: Instant,
    state: Option<[Option<State>; 2]>,
}

/// What changes when a file does: time, size and inode.
type State = (SystemTime, u64, u64);

impl Upstreams {
    /// The setting `network.resolvers`; the host's when the list is empty.
    pub fn of_settings(resolvers: &[IpAddr]) -> Self {
        if resolvers.is_empty() {
            return Self::of_files("/etc/resolv.conf".into(), BEHIND_STUB.into());
        }
        Self::fixed(
            resolvers
                .iter()
                .map(|address| (*address, PORT).into())
                .collect(),
        )
    }

    /// These servers.
    pub fn fixed(servers: Vec<SocketAddr>) -> Self {
        Self::new(None, servers)
    }

    /// The servers of a `resolv.conf`, which is read again whenever it changes. When it names
    /// systemd-resolved's stub, the servers behind it are asked: the stub would tell sandboxes
    /// the names of `/etc/hosts`, the host's own and its gateway's.
    pub fn of_files(conf: PathBuf, behind_stub: PathBuf) -> Self {
        Self::new(Some(Files { conf, behind_stub }), Vec::new())
    }

    fn new(files: Option<Files>, servers: Vec<SocketAddr>) -> Self {
        let known = Known {
            servers,
            looked: Instant::now(),
            state: None,
        };
        Self {
            files,
            known: Mutex::new(known),
            first: AtomicUsize::new(0),
        }
    }

    /// The servers in the order in which they are to be asked, each with its place.
    pub fn servers(&self) -> Vec<(usize, SocketAddr)> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = &self.files {
            known.refresh(files);
        }
        let mut servers: Vec<_> = known.servers.iter().copied().enumerate().collect();
        if !servers.is_empty() {
            let first = self.first.load(Ordering::Relaxed) % servers.len();
            servers.rotate_left(first);
        }
        servers
    }

    /// Remembers which server answered.
    pub fn answered(&self, place: usize) {
        self.first.store(place, Ordering::Relaxed);
    }
}

impl Known {
    /// Reads the files anew if they changed. A look takes a few microseconds: it is not worth
    /// another thread.
    fn refresh(&mut self, files: &Files) {
        if self.state.is_some() && self.looked.elapsed() < LOOK_AGAIN {
            return;
        }
        self.looked = Instant::now();
        let state = [&files.conf, &files.behind_stub].map(|path| state(path));
        if self.state == Some(state) {
            return;
        }
        self.state = Some(state);
        self.servers = servers_of(files);
        tracing::debug!(servers = ?self.servers, "name servers of the host");
    }
}

fn state(path: &Path) -> Option<State> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

fn servers_of(files: &Files) -> Vec<SocketAddr> {
    let mut servers = parse(&read(&files.conf));
    if servers.contains(&STUB) {
        let behind = parse(&read(&files.behind_stub));
        if !behind.is_empty() {
            servers = behind;
        }
    }
    if servers.is_empty() {
        // As glibc does.
        servers.push((Ipv4Addr::LOCALHOST, PORT).into());
    }
    servers
}

fn read(path: &Path) -> String {
    let mut text = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut text));
    if let Err(error) = read {
        tracing::debug!(?path, %error, "cannot read the name servers of the host");
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The servers of the `nameserver` lines (resolv.conf(5)).
fn parse(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| line.trim_start().strip_prefix("nameserver"))
        .filter(|rest| rest.starts_with([' ', '\t']))
        .filter_map(|rest| address(rest.split_whitespace().next()?))
        .take(MOST)
        .collect()
}

fn address(text: &str) -> Option<SocketAddr> {
    let Some((address, scope)) = text.split_once('%') else {
        return Some((text.parse::<IpAddr>().ok()?, PORT).into());
    };
    let address: Ipv6Addr = address.parse().ok()?;
    let index = scope.parse().ok().or_else(|| index_of(scope))?;
    Some(SocketAddrV6::new(address, PORT, 0, index).into())
}

/// The index of a link of the host.
fn index_of(link: &str) -> Option<u32> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    netdevice::name_to_index(&socket, link).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(servers: &[(usize, SocketAddr)]) -> Vec<String> {
        servers
            .iter()
            .map(|(_, server)| server.to_string())
            .collect()
    }

    #[test]
    fn lines_are_read_as_glibc_reads_them() {
        let text = "# nameserver 9.9.9.9\n; x\nsearch a b\n  nameserver\t192.0.2.1 # ours\n\
                    nameserver 192.0.2.300\nnameserver2 192.0.2.9\nnameserver 2001:db8::1\n\
                    nameserver fe80::1%lo\nnameserver 192.0.2.4\n";
        let servers: Vec<_> = parse(text).iter().map(SocketAddr::to_string).collect();
        assert_eq!(
            servers,
            ["192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%1]:53"]
        );
    }

    #[test]
    fn the_servers_behind_a_stub_are_asked() {
        let dir = tempfile::tempdir().unwrap();
        let (conf, behind) = (dir.path().join("conf"), dir.path().join("behind"));
        std::fs::write(&conf, "nameserver 127.0.0.53\n").unwrap();
        let stub_only = Upstreams::of_files(conf.clone(), behind.clone());
        assert_eq!(addresses(&stub_only.servers()), ["127.0.0.53:53"]);
        std::fs::write(&behind, "nameserver 192.0.2.7\n").unwrap();
        let upstreams = Upstreams::of_files(conf, behind);
        assert_eq!(addresses(&upstreams.servers()), ["192.0.2.7:53"]);
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("conf");
        let upstreams = Upstreams::of_files(conf.clone(), dir.path().join("behind"));
        assert_eq!(addresses(&upstreams.servers()), ["127.0.0.1:53"]);
        std::fs::write(&conf, "nameserver 192.0.2.7\nnameserver 192.0.2.8\n").unwrap();
        assert_eq!(
            addresses(&upstreams.servers()),
            ["127.0.0.1:53"],
            "not looked at yet"
        );
        upstreams.known.lock().unwrap().looked = Instant::now().checked_sub(LOOK_AGAIN).unwrap();
        assert_eq!(
            addresses(&upstreams.servers()),
            ["192.0.2.7:53", "192.0.2.8:53"]
        );
        upstreams.answered(1);
        assert_eq!(
            addresses(&upstreams.servers()),
            ["192.0.2.8:53", "192.0.2.7:53"]
        );
    }
}
