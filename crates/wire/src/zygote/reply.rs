//! What the zygote, or a process that it made, answers.

use super::{LAPS, REPLY, VERSION, number32, number64, put, take};

/// What a reply tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// The zygote takes requests.
    Ready = 0,
    /// The process is in its sandbox, restricted, and goes on in Python.
    Joined = 1,
    /// There is no process.
    Failed = 2,
}

/// Where making a process failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Step {
    /// Understanding the request, or its descriptors.
    Request = 0,
    /// Making the helper that enters the user namespace.
    Helper = 1,
    /// Entering the user and network namespaces: the zygote's user did not create the former, or that
    /// which the latter belongs to, or the sandbox has ended.
    User = 2,
    /// Entering the pid namespace.
    Pid = 3,
    /// Copying the zygote into the pid namespace: its first process has ended, or memory is short.
    Copy = 4,
    /// Making the process itself.
    Own = 5,
    /// Making its session.
    Session = 6,
    /// Entering the cgroups.
    Cgroup = 7,
    /// Entering the mount namespace.
    Mount = 8,
    /// Entering the IPC namespace.
    Ipc = 9,
    /// Entering the namespace of host names.
    Uts = 10,
    /// Entering the cgroup namespace.
    CgroupNames = 11,
    /// Setting the resource limits.
    Limits = 12,
    /// Becoming the user.
    Identity = 13,
    /// Narrowing the bounding set.
    Bounding = 14,
    /// Loading the system-call filter.
    Filter = 15,
    /// Giving up the capabilities.
    Capabilities = 16,
    /// Placing the descriptors; the sandbox has no `/dev/null`.
    Descriptors = 17,
    /// Entering the working directory.
    Directory = 18,
    /// Resetting what else a zygote's process inherits.
    Reset = 19,
}

/// What every step is for, by its number.
const STEPS: [(Step, &str); 20] = [
    (Step::Request, "understand the request"),
    (Step::Helper, "make a helper"),
    (
        Step::User,
        "enter the sandbox's user and network namespaces",
    ),
    (Step::Pid, "enter the sandbox's pid namespace"),
    (Step::Copy, "copy the zygote into the sandbox"),
    (Step::Own, "make the process"),
    (Step::Session, "make a session"),
    (Step::Cgroup, "enter the sandbox's cgroups"),
    (Step::Mount, "enter the sandbox's mount namespace"),
    (Step::Ipc, "enter the sandbox's ipc namespace"),
    (Step::Uts, "enter the sandbox's uts namespace"),
    (Step::CgroupNames, "enter the sandbox's cgroup namespace"),
    (Step::Limits, "set the resource limits"),
    (Step::Identity, "become the user"),
    (Step::Bounding, "narrow the bounding set"),
    (Step::Filter, "load the system-call filter"),
    (Step::Capabilities, "give up the capabilities"),
    (Step::Descriptors, "place the standard descriptors"),
    (Step::Directory, "enter the working directory"),
    (Step::Reset, "reset signals and scheduling"),
];

impl Step {
    /// The step with this number.
    #[must_use]
    pub fn of(number: u32) -> Option<Self> {
        let steps = STEPS.iter().map(|(step, _)| *step);
        steps.into_iter().find(|step| *step as u32 == number)
    }

    /// What was to be done, in words that follow "cannot".
    #[must_use]
    pub fn what(self) -> &'static str {
        let words = STEPS.iter().find(|(step, _)| *step == self);
        words.map_or("", |(_, words)| words)
    }
}

/// Points of a join whose times a reply tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Lap {
    /// The helper is in the user and pid namespaces.
    Helper = 0,
    /// The copy of the zygote runs.
    Copied = 1,
    /// The process itself runs.
    Own = 2,
    /// It is in its cgroups.
    Cgroups = 3,
    /// It is in all namespaces.
    Namespaces = 4,
    /// It is its user, with its limits and bounding set.
    Identity = 5,
    /// The filter is loaded and the capabilities are gone.
    Restricted = 6,
    /// All is done.
    Joined = 7,
}

/// What the zygote, or a process that it made, tells its broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// What it tells.
    pub kind: Kind,
    /// The request's id; 0 when it is not known.
    pub id: u64,
    /// The process's id where it lives, for [`Kind::Ready`] and [`Kind::Joined`]; else 0.
    pub pid: i32,
    /// What failed, for [`Kind::Failed`].
    pub step: Step,
    /// Linux's error number, for [`Kind::Failed`].
    pub errno: i32,
    /// Nanoseconds from the request's arrival to each [`Lap`]; 0 for what was not reached.
    pub laps: [u64; LAPS],
}

impl Reply {
    /// The message.
    #[must_use]
    pub fn encode(&self) -> [u8; REPLY] {
        let mut bytes = [0; REPLY];
        put(&mut bytes, 0, &VERSION.to_le_bytes());
        put(&mut bytes, 4, &(self.kind as u32).to_le_bytes());
        put(&mut bytes, 8, &self.id.to_le_bytes());
        put(&mut bytes, 16, &self.pid.to_le_bytes());
        put(&mut bytes, 20, &(self.step as u32).to_le_bytes());
        put(&mut bytes, 24, &self.errno.to_le_bytes());
        for (number, lap) in self.laps.iter().enumerate() {
            put(&mut bytes, 32 + 8 * number, &lap.to_le_bytes());
        }
        bytes
    }

    /// Takes a message. `None` when it is none of this version: what the zygote runs before it is
    /// ready is the template's, so anything may come.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != REPLY || number32(bytes, 0) != VERSION {
            return None;
        }
        let kind = match number32(bytes, 4) {
            0 => Kind::Ready,
            1 => Kind::Joined,
            2 => Kind::Failed,
            _ => return None,
        };
        let mut laps = [0; LAPS];
        for (number, lap) in laps.iter_mut().enumerate() {
            *lap = number64(bytes, 32 + 8 * number);
        }
        Some(Self {
            kind,
            id: number64(bytes, 8),
            pid: i32::from_le_bytes(take(bytes, 16)),
            step: Step::of(number32(bytes, 20))?,
            errno: i32::from_le_bytes(take(bytes, 24)),
            laps,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_arrives_as_it_was_sent() {
        let reply = Reply {
            kind: Kind::Failed,
            id: 7,
            pid: 0,
            step: Step::User,
            errno: 1,
            laps: [1, 2, 3, 4, 5, 6, 7, 8],
        };
        let bytes = reply.encode();
        assert_eq!(Reply::decode(&bytes), Some(reply));
        assert_eq!(Reply::decode(&bytes[1..]), None);
        for (at, wrong) in [(0, 2), (4, 3), (20, 21)] {
            let mut changed = bytes;
            changed[at] = wrong;
            assert_eq!(Reply::decode(&changed), None, "byte {at}");
        }
    }

    #[test]
    fn every_step_has_its_number_and_words() {
        for (number, (step, words)) in (0..).zip(STEPS) {
            assert_eq!(Step::of(number), Some(step));
            assert_eq!(step.what(), words);
        }
        assert_eq!(Step::of(21), None);
    }
}
