//! What an attempt is, and what counts as its refusal.

/// How it is shown that the test would see a success.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Control {
    /// The same program succeeds on the host, as root.
    Same,
    /// This program, which does the same harmlessly, succeeds on the host, as root.
    Weak(&'static str),
    /// On the host, as root, the same program gets another answer: Linux has looked at what was
    /// asked. For what must not succeed anywhere.
    Looked,
    /// This program succeeds in the sandbox itself, for whoever made the attempt.
    Inside(&'static str),
    /// The same program succeeds in the neighbour, whose things it is after.
    Neighbour,
}

impl Control {
    /// The words of the report.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Same => "the same program succeeds on the host",
            Self::Weak(_) => "a harmless form of it succeeds on the host",
            Self::Looked => "the host's Linux looks at what is asked",
            Self::Inside(_) => "what is allowed succeeds in the sandbox",
            Self::Neighbour => "the same program succeeds in the neighbour",
        }
    }
}

/// One attempt: a program for `inside/driver.py`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    /// What it tries; its name in every report.
    pub(crate) tries: &'static str,
    /// Python, with the names of the driver.
    pub(crate) program: &'static str,
    /// The refusal of `user`; empty when only root tries.
    pub(crate) user: &'static str,
    /// The refusal of root; empty when only `user` tries.
    pub(crate) root: &'static str,
    /// How a success would be seen.
    pub(crate) control: Control,
}

/// An attempt that `user` and root are refused alike.
pub(crate) const fn both(
    tries: &'static str,
    program: &'static str,
    refusal: &'static str,
    control: Control,
) -> Attempt {
    each(tries, program, (refusal, refusal), control)
}

/// An attempt with the refusals of `user` and of root.
pub(crate) const fn each(
    tries: &'static str,
    program: &'static str,
    (user, root): (&'static str, &'static str),
    control: Control,
) -> Attempt {
    Attempt {
        tries,
        program,
        user,
        root,
        control,
    }
}

/// Whether an outcome of the driver is what was expected: one of the words between `|`.
pub(crate) fn is(outcome: &str, expected: &str) -> bool {
    expected.split('|').any(|one| one == outcome)
}
