//! What the broker asks: a process in a sandbox.

use super::{
    MAX_DIRECTORY, MAX_ENTRANCES, MAX_GROUPS, MAX_LIMITS, MAX_REQUEST, REQUEST_HEAD, VERSION,
    number32, number64, put, take,
};

const GROUPS_AT: usize = 48;
const LIMITS_AT: usize = 112;
const LIMIT: usize = 24;

/// A resource limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// `RLIMIT_*`, as Linux numbers it.
    pub resource: u32,
    /// The limit that holds.
    pub soft: u64,
    /// How far the process may raise it.
    pub hard: u64,
}

/// What a new process in a sandbox is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// Repeated by the reply; 0 is the ready message's.
    pub id: u64,
    /// Its user id, in the sandbox.
    pub uid: u32,
    /// Its group id, in the sandbox.
    pub gid: u32,
    /// Its supplementary groups, at most [`MAX_GROUPS`].
    pub groups: &'a [u32],
    /// Its file mode mask, such as `0o022`.
    pub umask: u32,
    /// The capabilities that it keeps, permitted and effective; bit n is capability n.
    pub capabilities: u64,
    /// What stays in its bounding set: what programs with set-user-id can give it at most.
    pub bounding: u64,
    /// Its resource limits, at most [`MAX_LIMITS`]; hard ones above the zygote's own are cut to those.
    pub limits: &'a [Limit],
    /// How many cgroup entrances come: files of the sandbox's groups that take a `0` for the writer.
    pub entrances: usize,
    /// Its working directory, entered as its own user.
    pub directory: &'a [u8],
}

/// A request that cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestError {
    /// More groups than [`MAX_GROUPS`].
    Groups,
    /// More limits than [`MAX_LIMITS`].
    Limits,
    /// More cgroup entrances than [`MAX_ENTRANCES`].
    Entrances,
    /// A working directory that is empty, longer than [`MAX_DIRECTORY`] or has a zero byte.
    Directory,
}

impl core::fmt::Display for RequestError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Groups => "a process of a zygote has at most 16 supplementary groups",
            Self::Limits => "a process of a zygote has at most 8 resource limits",
            Self::Entrances => "a sandbox has at most 16 cgroup entrances",
            Self::Directory => "a working directory has 1 to 4095 bytes, none of them zero",
        })
    }
}

impl core::error::Error for RequestError {}

impl Request<'_> {
    /// Writes the message into `space` and gives its length.
    ///
    /// # Errors
    /// [`RequestError`]: what does not fit into the message.
    pub fn encode(&self, space: &mut [u8; MAX_REQUEST]) -> Result<usize, RequestError> {
        let directory = self.directory;
        let fits = (1..=MAX_DIRECTORY).contains(&directory.len()) && !directory.contains(&0);
        let checks = [
            (self.groups.len() <= MAX_GROUPS, RequestError::Groups),
            (self.limits.len() <= MAX_LIMITS, RequestError::Limits),
            (self.entrances <= MAX_ENTRANCES, RequestError::Entrances),
            (fits, RequestError::Directory),
        ];
        for (right, error) in checks {
            if !right {
                return Err(error);
            }
        }
        space[..REQUEST_HEAD].fill(0);
        put(space, 0, &VERSION.to_le_bytes());
        put(space, 4, &self.umask.to_le_bytes());
        put(space, 8, &self.id.to_le_bytes());
        put(space, 16, &self.uid.to_le_bytes());
        put(space, 20, &self.gid.to_le_bytes());
        put(space, 24, &self.capabilities.to_le_bytes());
        put(space, 32, &self.bounding.to_le_bytes());
        let counts = [
            self.groups.len(),
            self.limits.len(),
            self.entrances,
            directory.len(),
        ];
        for (number, count) in counts.into_iter().enumerate() {
            // None is above 4095, by the checks.
            let count = u16::try_from(count).unwrap_or(u16::MAX);
            put(space, 40 + 2 * number, &count.to_le_bytes());
        }
        for (number, group) in self.groups.iter().enumerate() {
            put(space, GROUPS_AT + 4 * number, &group.to_le_bytes());
        }
        for (number, limit) in self.limits.iter().enumerate() {
            let at = LIMITS_AT + LIMIT * number;
            put(space, at, &u64::from(limit.resource).to_le_bytes());
            put(space, at + 8, &limit.soft.to_le_bytes());
            put(space, at + 16, &limit.hard.to_le_bytes());
        }
        put(space, REQUEST_HEAD, directory);
        Ok(REQUEST_HEAD + directory.len())
    }
}

/// A request as it arrived, checked.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    bytes: &'a [u8],
}

impl<'a> Received<'a> {
    /// Takes a message. `None` when it is none of this version.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let received = Self { bytes };
        let directory = received.directory();
        let right = number32(bytes, 0) == VERSION
            && received.groups() <= MAX_GROUPS
            && received.limits() <= MAX_LIMITS
            && received.entrances() <= MAX_ENTRANCES
            && (1..=MAX_DIRECTORY).contains(&received.count(3))
            && directory.len() == received.count(3)
            && !directory.contains(&0);
        right.then_some(received)
    }

    fn count(&self, number: usize) -> usize {
        usize::from(u16::from_le_bytes(take(self.bytes, 40 + 2 * number)))
    }

    /// [`Request::id`].
    #[must_use]
    pub fn id(&self) -> u64 {
        number64(self.bytes, 8)
    }

    /// [`Request::uid`].
    #[must_use]
    pub fn uid(&self) -> u32 {
        number32(self.bytes, 16)
    }

    /// [`Request::gid`].
    #[must_use]
    pub fn gid(&self) -> u32 {
        number32(self.bytes, 20)
    }

    /// [`Request::umask`].
    #[must_use]
    pub fn umask(&self) -> u32 {
        number32(self.bytes, 4)
    }

    /// [`Request::capabilities`].
    #[must_use]
    pub fn capabilities(&self) -> u64 {
        number64(self.bytes, 24)
    }

    /// [`Request::bounding`].
    #[must_use]
    pub fn bounding(&self) -> u64 {
        number64(self.bytes, 32)
    }

    /// How many groups there are.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.count(0)
    }

    /// The supplementary group of this number, below [`groups`](Self::groups).
    #[must_use]
    pub fn group(&self, number: usize) -> u32 {
        number32(self.bytes, GROUPS_AT + 4 * number)
    }

    /// How many limits there are.
    #[must_use]
    pub fn limits(&self) -> usize {
        self.count(1)
    }

    /// The limit of this number, below [`limits`](Self::limits). A resource that Linux cannot have
    /// is `u32::MAX`.
    #[must_use]
    pub fn limit(&self, number: usize) -> Limit {
        let at = LIMITS_AT + LIMIT * number;
        Limit {
            resource: u32::try_from(number64(self.bytes, at)).unwrap_or(u32::MAX),
            soft: number64(self.bytes, at + 8),
            hard: number64(self.bytes, at + 16),
        }
    }

    /// [`Request::entrances`].
    #[must_use]
    pub fn entrances(&self) -> usize {
        self.count(2)
    }

    /// [`Request::directory`].
    #[must_use]
    pub fn directory(&self) -> &'a [u8] {
        self.bytes.get(REQUEST_HEAD..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT_OF_FILES: Limit = Limit {
        resource: 7,
        soft: 1024,
        hard: 4096,
    };

    fn request() -> Request<'static> {
        Request {
            id: 0x0102_0304_0506_0708,
            uid: 1000,
            gid: 1001,
            groups: &[4, 27],
            umask: 0o022,
            capabilities: 1,
            bounding: 3,
            limits: &[LIMIT_OF_FILES],
            entrances: 3,
            directory: b"/home/user",
        }
    }

    #[test]
    fn a_request_arrives_as_it_was_sent() {
        let mut space = [0xAA; MAX_REQUEST];
        let length = request().encode(&mut space).unwrap();
        let received = Received::decode(&space[..length]).unwrap();
        assert_eq!(received.id(), request().id);
        assert_eq!((received.uid(), received.gid()), (1000, 1001));
        assert_eq!(received.umask(), 0o022);
        assert_eq!((received.capabilities(), received.bounding()), (1, 3));
        assert_eq!((received.groups(), received.group(1)), (2, 27));
        assert_eq!((received.limits(), received.limit(0)), (1, LIMIT_OF_FILES));
        assert_eq!(received.entrances(), 3);
        assert_eq!(received.directory(), b"/home/user");
    }

    #[test]
    fn a_request_has_its_fields_where_the_table_says() {
        let mut space = [0; MAX_REQUEST];
        request().encode(&mut space).unwrap();
        assert_eq!(space[8..16], [8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(space[40..48], [2, 0, 1, 0, 3, 0, 10, 0]);
        assert_eq!(space[52], 27);
        assert_eq!((space[112], space[121], space[129]), (7, 4, 16));
        assert_eq!(&space[304..314], b"/home/user");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut space = [0; MAX_REQUEST];
        let mut refused = |request: Request<'_>| request.encode(&mut space).err();
        let long = [b'a'; MAX_DIRECTORY + 1];
        assert_eq!(
            refused(Request {
                groups: &[0; 17],
                ..request()
            }),
            Some(RequestError::Groups)
        );
        assert_eq!(
            refused(Request {
                limits: &[LIMIT_OF_FILES; 9],
                ..request()
            }),
            Some(RequestError::Limits)
        );
        assert_eq!(
            refused(Request {
                entrances: 17,
                ..request()
            }),
            Some(RequestError::Entrances)
        );
        for directory in [&b""[..], b"/a\0b", &long] {
            assert_eq!(
                refused(Request {
                    directory,
                    ..request()
                }),
                Some(RequestError::Directory)
            );
        }
        assert_eq!(
            refused(Request {
                directory: &long[1..],
                ..request()
            }),
            None
        );
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let mut space = [0; MAX_REQUEST];
        let length = request().encode(&mut space).unwrap();
        assert!(Received::decode(&[]).is_none());
        assert!(Received::decode(&space[..length - 1]).is_none());
        assert!(Received::decode(&space[..length + 1]).is_none());
        for (at, wrong) in [(0, 9), (40, 17), (42, 9), (44, 17), (46, 9)] {
            let mut changed = space;
            changed[at] = wrong;
            assert!(Received::decode(&changed[..length]).is_none(), "byte {at}");
        }
    }
}
