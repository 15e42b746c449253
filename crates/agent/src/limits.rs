//! What bounds the agent. It shares the sandbox's memory with the commands that it runs, so
//! each of these protects them from a client that asks for too much.

use std::time::Duration;

/// Connections at once. The official JavaScript client opens up to 200 for calls and 10 for
/// files; later ones wait in the socket's queue.
pub(crate) const CONNECTIONS: usize = 1024;

/// How long a server in the sandbox may take to accept a connection. Linux tries again after 1, 3, 7 and
/// 15 s while the server's queue is full; the host waits 30 s for an answer by default.
pub(crate) const DIAL: Duration = Duration::from_secs(20);

/// Bytes that are read at once on the connection for supplies; its messages have some fifty.
pub(crate) const SUPPLY_PIECE: usize = 1024;

/// Headers of a request, in number. The official clients send about 20.
pub(crate) const HEADERS: usize = 64;

/// Bytes of a request's head, and of what is read from a connection at once.
/// Linux's socket buffers are not larger by default, so more would not make uploads faster.
pub(crate) const CONNECTION_BUFFER: usize = 64 * 1024;

/// Bytes of a request message. Linux takes 2 MiB of arguments and variables together
/// (`ARG_MAX` with the default stack limit); JSON may escape some of them.
pub(crate) const MESSAGE: usize = 4 * 1024 * 1024;

/// Bytes of a request to `/init`, whose variables every command gets: half of what Linux takes.
pub(crate) const INIT: usize = 1024 * 1024;

/// Bytes of a message that carries input for a process: 24 MiB of them in base64.
pub(crate) const INPUT_MESSAGE: usize = 32 * 1024 * 1024;

/// Bytes of a refused request's body that are still read, so that its client sees the refusal.
pub(crate) const DRAINED: usize = 64 * 1024 * 1024;

/// How long a request's body may bring nothing before the request is given up.
pub(crate) const BODY_STALL: Duration = Duration::from_secs(60);

/// Processes started through the agent that have not ended. The default limit of processes of a
/// sandbox is the same.
pub(crate) const PROCESSES: usize = 1024;

/// How long a process's end is told to those who ask late (the protocol's own number).
pub(crate) const ENDED_KEPT: Duration = Duration::from_secs(30);

/// Ends that are kept at once. About 300 bytes each.
pub(crate) const ENDED_COUNT: usize = 1024;

/// Streams that follow one process at once.
pub(crate) const SUBSCRIBERS: usize = 64;

/// Chunks that wait for one slow reader before the process's output is left unread.
pub(crate) const QUEUED_CHUNKS: usize = 2;

/// Bytes of output per event (the protocol's own number; terminals use half).
pub(crate) const OUTPUT_CHUNK: usize = 32 * 1024;

/// Bytes of a terminal's output per event (the protocol's own number).
pub(crate) const TERMINAL_CHUNK: usize = 16 * 1024;

/// Bytes of output that are still read after a process was killed while another one holds its
/// output open: the largest pipe that an unprivileged program can make (`pipe-max-size`).
pub(crate) const OUTPUT_AFTER_KILL: usize = 1024 * 1024;

/// How long a stream is silent before a keepalive, when the client does not say.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(90);

/// Bytes of `/etc/passwd` and `/etc/group` each: commands may write them, so they are not
/// trusted to be short. 1 MiB is about 15,000 users.
pub(crate) const ACCOUNT_FILE: u64 = 1024 * 1024;

/// Supplementary groups of a user (`NGROUPS_MAX` of Linux is 65,536; the old limit will do).
pub(crate) const GROUPS: usize = 32;

/// Bytes of a path (`PATH_MAX` of Linux, which counts the final zero).
pub(crate) const PATH: usize = 4095;

/// Bytes of a file that are read, or written, before other work gets its turn.
pub(crate) const FILE_CHUNK: usize = 128 * 1024;

/// Open files that the agent allows itself: three per process and one per connection, and some.
pub(crate) const OPEN_FILES: u64 = 16 * 1024;

/// Entries of one listing, about 1 KiB each while it is made.
pub(crate) const LISTED: usize = 50_000;

/// Watchers at once, streams and kept ones together. Linux allows 128 inotify instances per user
/// by default (`max_user_instances`), and commands want some.
pub(crate) const WATCHERS: usize = 64;

/// Directories below one recursive watcher: half of what Linux allowed a user by default for
/// years (`max_user_watches`, 8192).
pub(crate) const WATCHED_DIRECTORIES: usize = 4096;

/// Events that wait in one watcher; after that the oldest are lost. Linux keeps 16,384
/// (`max_queued_events`).
pub(crate) const WATCHED_EVENTS: usize = 16_384;

/// Parts of one upload.
pub(crate) const PARTS: usize = 10_000;

/// Bytes of a part's head.
pub(crate) const PART_HEAD: usize = 16 * 1024;

/// Bytes of compressed data that are decompressed at once: they become at most 1032 times as
/// many, half a MiB.
pub(crate) const INFLATED_AT_ONCE: usize = 512;

/// Bytes of a metadata key, so that it fits an attribute's name behind `user.e2b.` (255).
pub(crate) const METADATA_KEY: usize = 246;

/// Bytes of all metadata of a file together: ext4 keeps about one block.
pub(crate) const METADATA: usize = 4096;

/// Files that one composition joins.
pub(crate) const COMPOSED: usize = 10_000;

/// Threads for long work on directories, and how long they wait for more of it.
pub(crate) const THREADS: usize = 2;
pub(crate) const THREAD_KEPT: Duration = Duration::from_millis(200);

/// Ends of recorded commands that are kept for a host that does not ask. About 300 bytes each, and
/// an open file.
pub(crate) const RECORDED_ENDS: usize = 1024;

/// How long the output of a command waits for its first reader, if one was announced. Whoever announced it
/// comes with its next request.
pub(crate) const ATTENDANCE: Duration = Duration::from_secs(10);

/// Bytes of output that are kept with them; the newest is kept in any case. It is the sandbox's
/// memory: four commands that wrote all that a host keeps by default.
pub(crate) const RECORDED_BYTES: u64 = 64 * 1024 * 1024;

/// Kernels that are described in a sandbox.
pub(crate) const KERNEL_SPECS: usize = 64;

/// Bytes of a kernel's description.
pub(crate) const KERNEL_SPEC: u64 = 64 * 1024;

/// Contexts at once. Each is a process of some megabytes, which is the sandbox's own memory.
pub(crate) const CONTEXTS: usize = 256;

/// Bytes of a request for a kernel. Code in it is sent on in one frame of at most 32 MiB, in which
/// some characters take more room.
pub(crate) const KERNEL_BODY: usize = 16 * 1024 * 1024;

/// Runs that wait for the one that a context does.
pub(crate) const WAITING_RUNS: usize = 256;

/// Bytes of code that wait in all contexts together. It is the agent's own memory.
pub(crate) const WAITING_CODE: usize = 64 * 1024 * 1024;

/// Bytes of output that wait for one slow reader before the kernel is left unread.
pub(crate) const WAITING_OUTPUT: usize = 256 * 1024;

/// How long a kernel may take until it is ready. On a machine that does too much, Python with its
/// libraries has been seen to take 5 s.
pub(crate) const KERNEL_START: Duration = Duration::from_secs(60);

/// How long a process that has closed its socket may take to end by itself. Longer than Linux takes
/// to give back what it had.
pub(crate) const KERNEL_EXIT: Duration = Duration::from_millis(200);

/// How long an interrupted cell may take to end before its process is replaced. A bash kernel kills
/// what does not end after 2 s, and itself after 4 s.
pub(crate) const KERNEL_INTERRUPT: Duration = Duration::from_secs(6);

/// How soon a cell that was interrupted is interrupted again, first and later: the first signal may
/// have met the moment before it began.
pub(crate) const KERNEL_INSIST_FIRST: Duration = Duration::from_millis(200);
pub(crate) const KERNEL_INSIST: Duration = Duration::from_secs(1);

/// How long after its start a process has certainly left the agent's memory. It takes microseconds.
pub(crate) const KERNEL_LEFT: Duration = Duration::from_millis(20);

/// How soon the place of a waiting process is filled again.
pub(crate) const KERNEL_SPARE_REST: Duration = Duration::from_millis(500);

/// How long an `/execute` stream is silent before a keepalive (the protocol's own number).
pub(crate) const KERNEL_KEEPALIVE: Duration = Duration::from_secs(5);

/// How long the head of an answer waits for the end of a run. Most cells of a conversation are
/// shorter; nobody notices the time on longer ones.
pub(crate) const KERNEL_SHORT: Duration = Duration::from_millis(3);
