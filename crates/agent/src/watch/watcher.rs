//! One watched directory, or tree of them.

use crate::account::Names;
use crate::channel::watch;
use crate::filesystem::entry::describe;
use crate::filesystem::{errno, failure, resolve};
use crate::limits;
use crate::rpc::Call;
use crate::state::Agent;
use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use soulbox_wire::connect::{Code, RpcError};
use soulbox_wire::envd::filesystem::{EventType, FilesystemEvent, WatchRequest};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use tokio::io::unix::AsyncFd;

/// What is asked of Linux. Opening, reading and closing are nobody's news.
const WATCHED: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Bytes read at once: a few dozen events with names of usual length.
const BUFFER: usize = 4096;

/// File systems whose changes come from elsewhere, so that Linux does not hear of them: NFS,
/// SMB, CIFS, SMB2, FUSE, 9P (`statfs(2)`).
const NETWORK: [i64; 6] = [
    0x6969,
    0x517b,
    0xff53_4d42,
    0xfe53_4d42,
    0x6573_5546,
    0x0102_1997,
];

/// A directory, or a tree, that is watched.
pub(crate) struct Watcher {
    fd: AsyncFd<OwnedFd>,
    root: PathBuf,
    recursive: bool,
    include_entry: bool,
    /// Watched directories by Linux's number, relative to the root.
    directories: BTreeMap<i32, PathBuf>,
    /// Entries of new directories that were found by looking. Linux may tell of them once more.
    found: BTreeSet<PathBuf>,
    events: VecDeque<FilesystemEvent>,
}

impl Watcher {
    /// Begins to watch what a request asks for.
    pub(crate) fn new(
        agent: &Agent,
        call: &Call,
        request: &WatchRequest,
    ) -> Result<Self, RpcError> {
        let (_, root) = resolve(agent, call, &request.path)?;
        let known = root
            .metadata()
            .map_err(|error| failure("watch", &root, errno(&error)))?;
        let invalid = |what: &str| {
            RpcError::new(
                Code::InvalidArgument,
                format!("path '{}' {what}", root.display()),
            )
        };
        if !known.is_dir() {
            return Err(invalid("is not a directory"));
        }
        let system = rustix::fs::statfs(&root).map_err(|errno| failure("watch", &root, errno))?;
        if NETWORK.contains(&system.f_type) && !request.allow_network_mounts {
            return Err(invalid(
                "is on a network file system, whose changes cannot be heard",
            ));
        }
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(|errno| failure("watch", &root, errno))?;
        let fd = watch(fd).map_err(|error| failure("watch", &root, errno(&error)))?;
        let mut watcher = Self {
            fd,
            root,
            recursive: request.recursive,
            include_entry: request.include_entry,
            directories: BTreeMap::new(),
            found: BTreeSet::new(),
            events: VecDeque::new(),
        };
        watcher.add_tree(PathBuf::new(), None)?;
        Ok(watcher)
    }

    pub(crate) fn descriptor(&self) -> &AsyncFd<OwnedFd> {
        &self.fd
    }

    pub(crate) fn is_recursive(&self) -> bool {
        self.recursive
    }

    pub(crate) fn next_event(&mut self) -> Option<FilesystemEvent> {
        self.events.pop_front()
    }

    pub(crate) fn take_events(&mut self) -> Vec<FilesystemEvent> {
        self.events.drain(..).collect()
    }

    /// Takes in all that Linux has to tell.
    pub(crate) fn drain(&mut self, names: &mut Names) {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        loop {
            let mut told = Vec::new();
            {
                let mut reader = inotify::Reader::new(self.fd.get_ref(), &mut buffer);
                // One buffer's worth at a time: what is told borrows the buffer.
                loop {
                    match reader.next() {
                        Ok(event) => {
                            let name = event.file_name().map(|name| name.to_bytes().to_vec());
                            told.push((event.wd(), event.events(), name));
                        }
                        Err(Errno::INTR) => continue,
                        Err(_) => break,
                    }
                    if reader.is_buffer_empty() {
                        break;
                    }
                }
            }
            if told.is_empty() {
                break;
            }
            for (number, what, name) in told {
                self.take(number, what, name.as_deref(), names);
            }
        }
        // Nothing is pending any more, so nothing found can be told a second time.
        self.found.clear();
    }

    /// Takes in one event of Linux's.
    fn take(&mut self, number: i32, what: ReadFlags, name: Option<&[u8]>, names: &mut Names) {
        if what.contains(ReadFlags::IGNORED) {
            self.directories.remove(&number);
            return;
        }
        let Some(directory) = self.directories.get(&number) else {
            return;
        };
        let is_root = directory.as_os_str().is_empty();
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            // About the directory itself, which its parent tells by name unless it is the root.
            if is_root {
                self.take_own(what, names);
            }
            return;
        };
        let path = directory.join(OsStr::from_bytes(name));
        let is_directory = what.contains(ReadFlags::ISDIR);
        if what.contains(ReadFlags::CREATE) && self.found.remove(&path) {
            return;
        }
        if what.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
            self.found.remove(&path);
        }
        if let Some(kind) = event_type(what) {
            self.push(&path, kind, names);
        }
        if self.recursive && is_directory {
            self.follow(path, what, names);
        }
    }

    fn take_own(&mut self, what: ReadFlags, names: &mut Names) {
        let kind = if what.contains(ReadFlags::DELETE_SELF) {
            EventType::Remove
        } else if what.contains(ReadFlags::MOVE_SELF) {
            EventType::Rename
        } else if what.contains(ReadFlags::ATTRIB) {
            EventType::Chmod
        } else {
            return;
        };
        self.push(Path::new("."), kind, names);
    }

    /// Keeps up with directories that come and go below a recursive watch.
    fn follow(&mut self, path: PathBuf, what: ReadFlags, names: &mut Names) {
        if what.contains(ReadFlags::MOVED_FROM) {
            self.forget_tree(&path);
        } else if what.contains(ReadFlags::CREATE) {
            // What is in it already was made before the watch stood: it is told from here.
            let _ = self.add_tree(path, Some(names));
        } else if what.contains(ReadFlags::MOVED_TO) {
            let _ = self.add_tree(path, None);
        }
    }

    /// Watches a directory and, if recursive, those below. With `tell`, its entries are news.
    fn add_tree(&mut self, first: PathBuf, mut tell: Option<&mut Names>) -> Result<(), RpcError> {
        let mut left = vec![first];
        while let Some(directory) = left.pop() {
            let path = self.root.join(&directory);
            if self.directories.len() >= limits::WATCHED_DIRECTORIES {
                let message = format!(
                    "more than {} directories below '{}', watch a smaller tree",
                    limits::WATCHED_DIRECTORIES,
                    self.root.display()
                );
                return Err(RpcError::new(Code::ResourceExhausted, message));
            }
            let flags = if directory.as_os_str().is_empty() {
                WATCHED
            } else {
                WATCHED | WatchFlags::DONT_FOLLOW
            };
            match inotify::add_watch(self.fd.get_ref(), &path, flags) {
                Ok(number) => self.directories.insert(number, directory.clone()),
                // It went away, or became something else.
                Err(Errno::NOENT | Errno::NOTDIR) if !directory.as_os_str().is_empty() => continue,
                Err(errno) => return Err(failure("watch", &path, errno)),
            };
            if self.recursive {
                self.look_into(&directory, &mut left, tell.as_deref_mut());
            }
        }
        Ok(())
    }

    /// Finds the directories in a directory; with `tell`, tells of all its entries.
    fn look_into(
        &mut self,
        directory: &Path,
        found: &mut Vec<PathBuf>,
        mut tell: Option<&mut Names>,
    ) {
        let Ok(entries) = self.root.join(directory).read_dir() else {
            return;
        };
        for entry in entries.flatten().take(limits::LISTED) {
            let path = directory.join(entry.file_name());
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if let Some(names) = tell.as_deref_mut() {
                self.push(&path, EventType::Create, names);
                if kind.is_file() && entry.metadata().is_ok_and(|known| known.len() > 0) {
                    self.push(&path, EventType::Write, names);
                }
                self.found.insert(path.clone());
            }
            if kind.is_dir() {
                found.push(path);
            }
        }
    }

    /// Stops watching a directory that moved, and those below it.
    fn forget_tree(&mut self, moved: &Path) {
        let gone = self
            .directories
            .iter()
            .filter(|(_, path)| path.starts_with(moved));
        let gone: Vec<i32> = gone.map(|(number, _)| *number).collect();
        for number in gone {
            self.directories.remove(&number);
            let _ = inotify::remove_watch(self.fd.get_ref(), number);
        }
    }

    fn push(&mut self, path: &Path, kind: EventType, names: &mut Names) {
        if self.events.len() >= limits::WATCHED_EVENTS {
            self.events.pop_front();
        }
        let shown = matches!(
            kind,
            EventType::Create | EventType::Write | EventType::Chmod
        );
        let entry = (self.include_entry && shown)
            .then(|| describe(&self.root.join(path), names).ok())
            .flatten();
        let name = path.to_string_lossy().into_owned();
        self.events.push_back(FilesystemEvent { name, kind, entry });
    }
}

/// What an event of Linux's is to the protocol: a name that leaves is renamed, one that arrives
/// is created.
fn event_type(what: ReadFlags) -> Option<EventType> {
    let table = [
        (ReadFlags::CREATE, EventType::Create),
        (ReadFlags::MOVED_TO, EventType::Create),
        (ReadFlags::MODIFY, EventType::Write),
        (ReadFlags::ATTRIB, EventType::Chmod),
        (ReadFlags::DELETE, EventType::Remove),
        (ReadFlags::MOVED_FROM, EventType::Rename),
    ];
    table
        .iter()
        .find(|(flag, _)| what.contains(*flag))
        .map(|(_, kind)| *kind)
}
