//! The filter and the capabilities, loaded for real: what Linux then refuses and what still works.
//!
//! Filters and capabilities belong to a thread, so each test gives a thread of its own to them.

#![allow(
    unsafe_code,
    reason = "the filter sees raw system calls, so the tests make raw ones"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by them"
)]
#![allow(clippy::disallowed_methods, reason = "the tests start programs")]

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, netlink};
use soulbox_runtime::native::{capability, seccomp};
use std::io::{Read, Write};
use std::process::Command;

/// Runs `body` in a thread under the filter.
fn under_filter<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let body = move || {
        seccomp::load().expect("root may load a filter");
        body()
    };
    std::thread::spawn(body)
        .join()
        .expect("the thread ends by itself")
}

/// Makes a system call and gives what it returns or the error's number.
fn call(number: i64, arguments: [u64; 6]) -> Result<i64, i32> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the tests pass no pointer but null and such as lie in no program's memory, so Linux
    // writes nowhere; what a call may do to the process is named beside it.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result == -1 {
        Err(std::io::Error::last_os_error().raw_os_error().unwrap())
    } else {
        Ok(result)
    }
}

/// A descriptor, pointer, size or command that no call takes.
const NONE: u64 = u64::MAX;
/// A pointer that no program's memory has.
const BAD: u64 = 1;

/// Calls that Linux answers in a way of its own outside; under the filter they all give `answer`.
/// The arguments are such that nothing happens where a call is made.
#[rustfmt::skip]
const REFUSED: &[(&str, i64, [u64; 6], i32)] = &[
    ("new utsname", libc::SYS_unshare, [0x400_0000, 0, 0, 0, 0, 0], libc::EPERM),
    ("new user namespace", libc::SYS_unshare, [0x1000_0000, 0, 0, 0, 0, 0], libc::EPERM),
    // CLONE_FS does not go with CLONE_NEWNS: EINVAL outside, no new process.
    ("clone into namespaces", libc::SYS_clone, [0x2_0200, 0, 0, 0, 0, 0], libc::EPERM),
    ("clone3", libc::SYS_clone3, [0; 6], libc::ENOSYS),
    ("setns", libc::SYS_setns, [NONE, 0, 0, 0, 0, 0], libc::EPERM),
    ("mount", libc::SYS_mount, [0, BAD, 0, 0, 0, 0], libc::EPERM),
    ("umount", libc::SYS_umount2, [BAD, NONE, 0, 0, 0, 0], libc::EPERM),
    ("pivot_root", libc::SYS_pivot_root, [BAD, BAD, 0, 0, 0, 0], libc::EPERM),
    ("open_tree", libc::SYS_open_tree, [NONE, BAD, 0, 0, 0, 0], libc::EPERM),
    ("move_mount", libc::SYS_move_mount, [NONE, BAD, NONE, BAD, 0, 0], libc::EPERM),
    ("fsopen", libc::SYS_fsopen, [BAD, 0, 0, 0, 0, 0], libc::EPERM),
    ("fsmount", libc::SYS_fsmount, [NONE, 0, 0, 0, 0, 0], libc::EPERM),
    ("mount_setattr", libc::SYS_mount_setattr, [NONE, BAD, 0, BAD, 0, 0], libc::EPERM),
    ("open_by_handle", libc::SYS_open_by_handle_at, [NONE, BAD, 0, 0, 0, 0], libc::EPERM),
    ("bpf", libc::SYS_bpf, [NONE, BAD, 0, 0, 0, 0], libc::EPERM),
    ("perf", libc::SYS_perf_event_open, [BAD, 0, 0, 0, NONE, 0], libc::EPERM),
    ("userfaultfd", libc::SYS_userfaultfd, [NONE, 0, 0, 0, 0, 0], libc::EPERM),
    ("pidfd_getfd", libc::SYS_pidfd_getfd, [NONE, 0, 0, 0, 0, 0], libc::EPERM),
    ("reboot", libc::SYS_reboot, [0; 6], libc::EPERM),
    ("sethostname", libc::SYS_sethostname, [BAD, NONE, 0, 0, 0, 0], libc::EPERM),
    ("clock", libc::SYS_settimeofday, [BAD, 0, 0, 0, 0, 0], libc::EPERM),
    ("clock_settime", libc::SYS_clock_settime, [0, BAD, 0, 0, 0, 0], libc::EPERM),
    ("swapon", libc::SYS_swapon, [BAD, 0, 0, 0, 0, 0], libc::EPERM),
    ("kernel log", libc::SYS_syslog, [99, 0, 0, 0, 0, 0], libc::EPERM),
    ("fanotify", libc::SYS_fanotify_init, [NONE, 0, 0, 0, 0, 0], libc::EPERM),
    ("io_uring", libc::SYS_io_uring_setup, [1, BAD, 0, 0, 0, 0], libc::ENOSYS),
    ("aio", libc::SYS_io_setup, [1, BAD, 0, 0, 0, 0], libc::ENOSYS),
    ("keyring", libc::SYS_keyctl, [9999, 0, 0, 0, 0, 0], libc::ENOSYS),
    ("numa", libc::SYS_get_mempolicy, [BAD, 0, 0, 0, 0, 0], libc::ENOSYS),
    ("file handles", libc::SYS_name_to_handle_at, [NONE, BAD, BAD, BAD, 0, 0], libc::ENOSYS),
    ("TIOCSTI", libc::SYS_ioctl, [NONE, 0x5412, 0, 0, 0, 0], libc::EPERM),
    ("TIOCSTI in 64 bits", libc::SYS_ioctl, [NONE, 0x1_0000_5412, 0, 0, 0, 0], libc::EPERM),
    ("TIOCLINUX", libc::SYS_ioctl, [NONE, 0x541C, 0, 0, 0, 0], libc::EPERM),
    ("line discipline", libc::SYS_ioctl, [NONE, 0x5423, 0, 0, 0, 0], libc::EPERM),
    ("READ_IMPLIES_EXEC", libc::SYS_personality, [0x40_0000, 0, 0, 0, 0, 0], libc::EPERM),
    ("packet socket", libc::SYS_socket, [17, 3, 0, 0, 0, 0], libc::EAFNOSUPPORT),
    ("old packet socket", libc::SYS_socket, [2, 10, 0, 0, 0, 0], libc::EPROTONOSUPPORT),
    ("uevent netlink", libc::SYS_socket, [16, 3, 15, 0, 0, 0], libc::EPROTONOSUPPORT),
];

#[test]
fn the_filter_refuses_what_linux_would_have_done_or_looked_at() {
    for (name, number, arguments, answer) in REFUSED {
        // The control: the same call in a thread of its own that has no filter.
        let outside = std::thread::spawn(|| call(*number, *arguments))
            .join()
            .unwrap();
        assert_ne!(
            outside,
            Err(*answer),
            "{name}: the test could not see it succeed"
        );
        let inside = under_filter(|| call(*number, *arguments));
        assert_eq!(inside, Err(*answer), "{name}");
    }
}

#[test]
fn what_this_linux_may_lack_is_refused_as_well() {
    for (name, number, arguments, answer) in [
        (
            "module",
            libc::SYS_init_module,
            [BAD, 0, BAD, 0, 0, 0],
            libc::EPERM,
        ),
        (
            "kexec",
            libc::SYS_kexec_load,
            [0, 99, 0, 0, 0, 0],
            libc::EPERM,
        ),
        (
            "AF_ALG",
            libc::SYS_socket,
            [38, 5, 0, 0, 0, 0],
            libc::EAFNOSUPPORT,
        ),
        (
            "vsock",
            libc::SYS_socket,
            [40, 1, 0, 0, 0, 0],
            libc::EAFNOSUPPORT,
        ),
        (
            "SCTP",
            libc::SYS_socket,
            [2, 1, 132, 0, 0, 0],
            libc::EPROTONOSUPPORT,
        ),
        (
            "core scheduling",
            libc::SYS_prctl,
            [62, 1, 0, 1, 0, 0],
            libc::EINVAL,
        ),
        (
            "shared pages",
            libc::SYS_prctl,
            [67, 1, 0, 0, 0, 0],
            libc::EINVAL,
        ),
        ("a call of the future", 599, [0; 6], libc::ENOSYS),
        (
            "a call of x32",
            0x4000_0000 | libc::SYS_getpid,
            [0; 6],
            libc::ENOSYS,
        ),
    ] {
        assert_eq!(
            under_filter(move || call(number, arguments)),
            Err(answer),
            "{name}"
        );
    }
    assert_eq!(under_filter(|| call(libc::SYS_sync, [0; 6])), Ok(0));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_32_bit_interface_ends_its_caller() {
    /// Asks for the process id by `int 0x80` in a new process; gives the signal that ended it.
    fn ended_by(filtered: bool) -> i32 {
        // SAFETY: the child makes system calls only, which are safe after a fork of a process
        // with threads, and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let code = i32::from(filtered && seccomp::load().is_err());
            // SAFETY: getpid (20 in this interface) takes nothing and touches no memory; the
            // kernel clears r8 to r11 on this way in.
            unsafe {
                std::arch::asm!("int 0x80", inlateout("eax") 20 => _,
                    out("r8") _, out("r9") _, out("r10") _, out("r11") _);
            }
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: `status` is a valid place for the result.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        if libc::WIFSIGNALED(status) {
            libc::WTERMSIG(status)
        } else {
            libc::WEXITSTATUS(status)
        }
    }
    assert_ne!(ended_by(false), libc::SIGSYS);
    assert_eq!(ended_by(true), libc::SIGSYS);
}

#[test]
fn programs_threads_and_files_work_under_the_filter() {
    under_filter(|| {
        let output = Command::new("sh")
            .args([
                "-c",
                "echo one | tr a-z A-Z; (exit 3); echo $?; ulimit -n >/dev/null; kill -0 $$",
            ])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "ONE\n3\n");
        assert!(output.status.success());
        assert_eq!(std::thread::spawn(|| 7).join().unwrap(), 7);
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (directory.path().join("a"), directory.path().join("b"));
        std::fs::write(&a, "text").unwrap();
        std::fs::rename(&a, &b).unwrap();
        std::os::unix::fs::symlink(&b, &a).unwrap();
        std::fs::File::open(&a).unwrap().sync_all().unwrap();
        assert_eq!(std::fs::read_to_string(&a).unwrap(), "text");
        rustix::fs::chown(&b, Some(rustix::fs::Uid::from_raw(1000)), None).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            directory.path().join("fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        // Away from the process's other threads, whose root is to stay.
        assert_eq!(call(libc::SYS_unshare, [0x200, 0, 0, 0, 0, 0]), Ok(0));
        rustix::process::chroot(directory.path()).unwrap();
        assert_eq!(std::fs::read_to_string("/b").unwrap(), "text");
    });
}

#[test]
fn sockets_of_the_usual_kinds_work_under_the_filter() {
    under_filter(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"x").unwrap();
        let mut byte = [0];
        listener.accept().unwrap().0.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"x");
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        std::os::unix::net::UnixStream::pair().unwrap();
        let sockets = Some(netlink::SOCK_DIAG);
        rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, sockets).unwrap();
        rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None).unwrap();
        let audit = rustix::net::socket(
            AddressFamily::NETLINK,
            SocketType::RAW,
            Some(netlink::AUDIT),
        );
        assert_eq!(audit.unwrap_err(), Errno::PROTONOSUPPORT);
    });
}

#[test]
fn a_program_may_trace_its_child_under_the_filter() {
    under_filter(|| {
        // PTRACE_TRACEME is 0; the traced program stops at its exec, of which the parent hears.
        // SAFETY: between fork and exec the child makes system calls only.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let traced = call(libc::SYS_ptrace, [0; 6]);
            let code = i32::from(traced.is_err());
            // SAFETY: stops the child for its tracer, then ends it; neither touches memory.
            unsafe { libc::raise(libc::SIGSTOP) };
            // SAFETY: as above.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        let mut wait = || {
            // SAFETY: `status` is a valid place for the result.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            status
        };
        assert!(
            libc::WIFSTOPPED(wait()),
            "only a traced child's stop is told without WUNTRACED"
        );
        let detach = u64::from(libc::PTRACE_DETACH);
        let pid = u64::try_from(child).unwrap();
        assert_eq!(call(libc::SYS_ptrace, [detach, pid, 0, 0, 0, 0]), Ok(0));
        assert_eq!(call(libc::SYS_kill, [pid, 18, 0, 0, 0, 0]), Ok(0));
        assert_eq!(libc::WEXITSTATUS(wait()), 0);
    });
}

/// The capability sets in the text of a `status` file.
fn sets(status: &str) -> Vec<(String, u64)> {
    let lines = status.lines().filter_map(|line| line.strip_prefix("Cap"));
    let pairs = lines.map(|line| line.split_once(":\t").unwrap());
    pairs
        .map(|(name, bits)| (name.to_owned(), u64::from_str_radix(bits, 16).unwrap()))
        .collect()
}

#[test]
fn the_capabilities_of_the_policy_are_left_and_an_exec_brings_none_back() {
    let kept = capability::KEPT.bits();
    assert_eq!(kept.count_ones(), 12);
    let full = sets(&std::fs::read_to_string("/proc/thread-self/status").unwrap());
    assert!(
        full.iter()
            .any(|(name, bits)| name == "Bnd" && bits & !kept != 0)
    );
    let (own, program, again) = under_filter(|| {
        capability::apply().unwrap();
        let own = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let program = Command::new("cat")
            .arg("/proc/self/status")
            .output()
            .unwrap();
        // Without SYS_ADMIN no further filter of this kind, and nothing to widen.
        (
            own,
            String::from_utf8(program.stdout).unwrap(),
            seccomp::load().unwrap_err().errno,
        )
    });
    let expected = [
        ("Inh", 0),
        ("Prm", kept),
        ("Eff", kept),
        ("Bnd", kept),
        ("Amb", 0),
    ]
    .map(|(name, bits)| (name.to_owned(), bits));
    assert_eq!(sets(&own), expected);
    assert_eq!(sets(&program), expected);
    assert_eq!(again, Errno::ACCESS);
}
