//! What is tried on each route, as data.

/// A run of the program with a shared directory, and what must come of it.
pub(super) struct Route {
    pub(super) tries: &'static str,
    /// Flags; `@` stands for the test's directory on the host.
    pub(super) flags: &'static [&'static str],
    /// A shell script inside; `@` as above.
    pub(super) code: &'static str,
    /// What the refusal says, on stdout or stderr.
    pub(super) says: &'static str,
    /// A script that must say `seen`: what is allowed works, by the same flags.
    pub(super) control: &'static str,
}

pub(super) const SHARED: &[&str] = &["--mount", "@/shared:/shared"];
const SHARED_RO: &[&str] = &["--mount", "@/shared:/shared:ro"];

pub(super) const ROUTES: &[Route] = &[
    Route {
        tries: "--mount: read a file of the host by a link in the shared directory",
        flags: SHARED,
        code: "cat /shared/to-secret",
        says: "No such file",
        control: "cat /shared/note",
    },
    Route {
        tries: "--mount: climb out of the shared directory by ..",
        flags: SHARED,
        code: "cd /shared && cat ../../../../../@/secret ../secret",
        says: "No such file",
        control: "cat /shared/../shared/note",
    },
    Route {
        tries: "--mount: reach a file of the host by a link of one's own in it",
        flags: SHARED,
        code: "ln -sf @/secret /shared/mine; cat /shared/mine",
        says: "No such file",
        control: "ln -sf note /shared/mine; cat /shared/mine",
    },
    Route {
        tries: "--mount: link a file of the sandbox into it",
        flags: SHARED,
        code: "ln /etc/passwd /shared/hard",
        says: "cross-device",
        control: "ln /shared/note /shared/hard && cat /shared/hard; rm /shared/hard",
    },
    Route {
        tries: "--mount: open a device node that lies in it",
        flags: SHARED,
        code: "head -c1 /shared/zero",
        says: "Permission denied",
        control: "cat /shared/note",
    },
    Route {
        tries: "--mount: gain rights by a set-user-id program that lies in it",
        flags: SHARED,
        code: "[ $(id -u) = 0 ] && echo 'uid stays' || echo uid $(/shared/idu) | sed 's/uid 1000/uid stays/'",
        says: "uid stays",
        control: "/shared/idu >/dev/null && cat /shared/note",
    },
    Route {
        tries: "--mount: make a device node in it",
        flags: SHARED,
        code: "mknod /shared/node b 8 0",
        says: "Operation not permitted",
        control: "mkfifo /shared/fifo && rm /shared/fifo && cat /shared/note",
    },
    Route {
        tries: "--mount: unmount it, for what lies below",
        flags: SHARED,
        code: "python3 -c 'import ctypes; print(ctypes.CDLL(None).umount2(b\"/shared\", 2))'; umount -l /shared",
        says: "-1",
        control: "cat /shared/note",
    },
    Route {
        tries: "--mount ro: write a file",
        flags: SHARED_RO,
        code: "echo x > /shared/note",
        says: "Read-only",
        control: "cat /shared/note",
    },
    Route {
        tries: "--mount ro: remove a file",
        flags: SHARED_RO,
        code: "rm -f /shared/note",
        says: "Read-only",
        control: "cat /shared/note",
    },
    Route {
        tries: "--mount ro: change a mode",
        flags: SHARED_RO,
        code: "chmod 777 /shared/note",
        says: "Read-only",
        control: "cat /shared/note",
    },
    Route {
        tries: "--mount ro: open anew for writing what is open for reading",
        flags: SHARED_RO,
        code: "exec 7</shared/note; echo x > /proc/self/fd/7",
        says: "Read-only",
        control: "exec 7</shared/note; cat /proc/self/fd/7",
    },
    Route {
        tries: "--mount ro: write through a map of its memory",
        flags: SHARED_RO,
        code: "python3 -c 'import mmap, os; f = os.open(\"/shared/note\", 0); mmap.mmap(f, 0, 1, 3)'",
        says: "Permission denied",
        control: "python3 -c 'import mmap, os; f = os.open(\"/shared/note\", 0); print(mmap.mmap(f, 0, 2, 3)[:].decode())'",
    },
    Route {
        tries: "--mount: a place behind a link of the template",
        flags: &["--mount", "@/shared:/bin/x"],
        code: "true",
        says: "ymbolic link",
        control: "",
    },
    Route {
        tries: "--mount: a place in /proc",
        flags: &["--mount", "@/shared:/proc/1/x"],
        code: "true",
        says: "mount target",
        control: "",
    },
    Route {
        tries: "--mount: a place that climbs",
        flags: &["--mount", "@/shared:/x/../../etc"],
        code: "true",
        says: "mount target",
        control: "",
    },
    Route {
        tries: "--mount: a device of the host",
        flags: &["--mount", "/dev/null:/x"],
        code: "true",
        says: "only directories and regular files",
        control: "",
    },
    Route {
        tries: "--file: write to a switch of Linux",
        flags: &["--file", "@/shared/note:/proc/sys/kernel/core_pattern"],
        code: "true",
        says: "into the sandbox",
        control: "",
    },
    Route {
        tries: "--file: write into the /dev of all sandboxes",
        flags: &["--file", "@/shared/note:/dev/note"],
        code: "true",
        says: "into the sandbox",
        control: "",
    },
    Route {
        tries: "--file: write into the /sys of all sandboxes",
        flags: &["--file", "@/shared/note:/sys/note"],
        code: "true",
        says: "into the sandbox",
        control: "",
    },
    Route {
        tries: "--output: a link that leads to a file of the host",
        flags: &["--output", "/tmp/link:@/out"],
        code: "ln -s @/secret /tmp/link",
        says: "does not exist",
        control: "",
    },
    Route {
        tries: "--output: a link through PID 1 to a file of the host",
        flags: &["--output", "/tmp/link:@/out"],
        code: "ln -s /proc/1/root/@/secret /tmp/link",
        says: "out of the sandbox",
        control: "",
    },
    Route {
        tries: "--output: a device without an end",
        flags: &["--output", "/tmp/link:@/out"],
        code: "ln -s /dev/zero /tmp/link",
        says: "not a regular file",
        control: "",
    },
    Route {
        tries: "--output: a pipe that nobody writes",
        flags: &["--output", "/tmp/link:@/out"],
        code: "mkfifo /tmp/link",
        says: "not a regular file",
        control: "",
    },
    Route {
        tries: "--output: a directory",
        flags: &["--output", "/tmp/link:@/out"],
        code: "mkdir /tmp/link",
        says: "a directory",
        control: "",
    },
    Route {
        tries: "--output: a file that is larger than allowed",
        flags: &["--output", "/tmp/link:@/out"],
        code: "truncate -s 9G /tmp/link",
        says: "out of the sandbox",
        control: "",
    },
];

/// What code does with the shared directory that its output is written into.
pub(super) const SWAPS: &[(&str, &str)] = &[
    (
        "--output: put a link where the file will be written",
        "ln -sf @/elsewhere/victim /shared/out/result",
    ),
    (
        "--output: put a link where its directory was",
        "mv /shared/out /shared/away; ln -s @/elsewhere /shared/out",
    ),
    (
        "--output: put links wherever its first name may be",
        "for n in $(seq 1 3000); do ln -s @/elsewhere/victim /shared/out/result.soulbox-$n; done",
    ),
];

/// Paths that a client of the agent may be led to ask for.
pub(super) const PATHS: [&str; 5] = [
    "/proc/1/root@/secret",
    "/proc/self/root@/secret",
    "/tmp/link",
    "/tmp/../../../..@/secret",
    "@/secret",
];
