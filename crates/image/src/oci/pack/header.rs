//! The headers of one member: an old one, and a PAX one before it for what does not fit.

use super::Attributes;
use rustix::fs::Stat;
use tar::EntryType;

pub(super) const BLOCK: usize = 512;
/// What the fields of an old header hold.
const MAX_NAME: usize = 100;
const MAX_ID: u64 = 0o7_777_777;
const MAX_NUMBER: u64 = 0o77_777_777_777;

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// With so many bytes.
    File(u64),
    Directory,
    Symlink,
    /// Another name for a file that came before.
    Twin,
    Fifo,
}

/// What is said about a member.
#[derive(Debug, Clone)]
pub(super) struct Header {
    kind: Kind,
    path: Vec<u8>,
    link: Vec<u8>,
    mode: u32,
    uid: u64,
    gid: u64,
    seconds: i64,
    nanoseconds: u32,
    attributes: Attributes,
}

impl Header {
    pub(super) fn new(kind: Kind, path: &[u8], stat: &Stat) -> Self {
        Self {
            kind,
            path: path.to_vec(),
            link: Vec::new(),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid.into(),
            gid: stat.st_gid.into(),
            seconds: stat.st_mtime,
            nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or_default(),
            attributes: Vec::new(),
        }
    }

    /// An empty file whose name says something.
    pub(super) fn mark(path: &[u8]) -> Self {
        Self {
            kind: Kind::File(0),
            path: path.to_vec(),
            link: Vec::new(),
            mode: 0,
            uid: 0,
            gid: 0,
            seconds: 0,
            nanoseconds: 0,
            attributes: Vec::new(),
        }
    }

    pub(super) fn link(self, link: Vec<u8>) -> Self {
        Self { link, ..self }
    }

    pub(super) fn attributes(self, attributes: Attributes) -> Self {
        Self { attributes, ..self }
    }

    pub(super) fn give_to_root(&mut self) {
        (self.uid, self.gid) = (0, 0);
    }

    /// The headers as they stand in the file.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let records = self.records();
        let mut bytes = Vec::new();
        if !records.is_empty() {
            let mut about = tar::Header::new_ustar();
            about.set_entry_type(EntryType::XHeader);
            about.set_size(records.len() as u64);
            about.set_mode(0o644);
            self.close(&mut about, b"pax");
            bytes.extend_from_slice(about.as_bytes());
            bytes.extend_from_slice(&records);
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        }
        let mut header = tar::Header::new_ustar();
        let (kind, size) = match self.kind {
            Kind::File(size) => (EntryType::Regular, size),
            Kind::Directory => (EntryType::Directory, 0),
            Kind::Symlink => (EntryType::Symlink, 0),
            Kind::Twin => (EntryType::Link, 0),
            Kind::Fifo => (EntryType::Fifo, 0),
        };
        header.set_entry_type(kind);
        header.set_size(size.min(MAX_NUMBER));
        header.set_mode(self.mode);
        header.set_uid(self.uid.min(MAX_ID));
        header.set_gid(self.gid.min(MAX_ID));
        header.set_mtime(u64::try_from(self.seconds).unwrap_or(0).min(MAX_NUMBER));
        let link = &self.link[..self.link.len().min(MAX_NAME)];
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        self.close(&mut header, &self.path);
        bytes.extend_from_slice(header.as_bytes());
        bytes
    }

    /// Gives a header its name, as much of it as fits, and its checksum.
    fn close(&self, header: &mut tar::Header, name: &[u8]) {
        let name = &name[..name.len().min(MAX_NAME)];
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_cksum();
    }

    /// What does not fit into the old header.
    fn records(&self) -> Vec<u8> {
        let mut records = Vec::new();
        if self.path.len() > MAX_NAME {
            record(&mut records, b"path", &self.path);
        }
        if self.link.len() > MAX_NAME {
            record(&mut records, b"linkpath", &self.link);
        }
        if let Kind::File(size) = self.kind
            && size > MAX_NUMBER
        {
            record(&mut records, b"size", size.to_string().as_bytes());
        }
        for (name, id) in [(&b"uid"[..], self.uid), (b"gid", self.gid)] {
            if id > MAX_ID {
                record(&mut records, name, id.to_string().as_bytes());
            }
        }
        let fits = u64::try_from(self.seconds).is_ok_and(|seconds| seconds <= MAX_NUMBER);
        if self.nanoseconds > 0 || !fits {
            record(&mut records, b"mtime", self.time().as_bytes());
        }
        for (name, value) in &self.attributes {
            record(&mut records, &[b"SCHILY.xattr.", &name[..]].concat(), value);
        }
        records
    }

    /// The time with a point; files count forward from the second before, numbers do not.
    fn time(&self) -> String {
        match (self.seconds, self.nanoseconds) {
            (seconds, 0) => seconds.to_string(),
            (seconds, nanoseconds) if seconds < 0 => {
                let (seconds, rest) = (-(seconds + 1), 1_000_000_000 - nanoseconds);
                format!("-{seconds}.{rest:09}")
            }
            (seconds, nanoseconds) => format!("{seconds}.{nanoseconds:09}"),
        }
    }
}

/// Adds `<length> <key>=<value>\n`, where the length counts itself.
fn record(to: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    to.extend_from_slice(length.to_string().as_bytes());
    to.extend_from_slice(&[b" ", key, b"=", value, b"\n"].concat());
}
