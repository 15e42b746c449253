//! New namespaces, by every call that makes them, and the namespaces of others.

use crate::attempt::{Attempt, Control, both};
use crate::siege::besiege;
use Control::{Looked, Same, Weak};

const ATTEMPTS: &[Attempt] = &[
    both(
        "unshare a user namespace",
        "sc('unshare', NEWUSER)",
        "EPERM",
        Same,
    ),
    both(
        "unshare a mount namespace",
        "sc('unshare', NEWNS)",
        "EPERM",
        Same,
    ),
    both(
        "unshare a PID namespace",
        "sc('unshare', NEWPID)",
        "EPERM",
        Same,
    ),
    both(
        "unshare a network namespace",
        "sc('unshare', NEWNET)",
        "EPERM",
        Same,
    ),
    both(
        "unshare an IPC namespace",
        "sc('unshare', NEWIPC)",
        "EPERM",
        Same,
    ),
    both(
        "unshare a UTS namespace",
        "sc('unshare', NEWUTS)",
        "EPERM",
        Same,
    ),
    both(
        "unshare a cgroup namespace",
        "sc('unshare', NEWCGROUP)",
        "EPERM",
        Same,
    ),
    both(
        "unshare a time namespace",
        "sc('unshare', NEWTIME)",
        "EPERM",
        Same,
    ),
    both(
        "unshare a user namespace behind a bit of the upper half",
        "sc('unshare', NEWUSER | 1 << 40)",
        "EPERM",
        Looked,
    ),
    both(
        "unshare with a flag of the future",
        "sc('unshare', 1 << 33)",
        "EPERM",
        Looked,
    ),
    both(
        "clone into a user namespace",
        "pid = sc('clone', NEWUSER | 17, 0, 0, 0, 0)\nos._exit(0) if pid == 0 else os.waitpid(pid, 0)",
        "EPERM",
        Same,
    ),
    both(
        "clone into a user and a mount namespace",
        "pid = sc('clone', NEWUSER | NEWNS | 17, 0, 0, 0, 0)\n\
         os._exit(0) if pid == 0 else os.waitpid(pid, 0)",
        "EPERM",
        Same,
    ),
    both(
        "clone into a network namespace",
        "pid = sc('clone', NEWNET | 17, 0, 0, 0, 0)\nos._exit(0) if pid == 0 else os.waitpid(pid, 0)",
        "EPERM",
        Same,
    ),
    both(
        "clone into a PID namespace",
        "pid = sc('clone', NEWPID | 17, 0, 0, 0, 0)\nos._exit(0) if pid == 0 else os.waitpid(pid, 0)",
        "EPERM",
        Same,
    ),
    both(
        "clone into a user namespace with bits that Linux throws away",
        "pid = sc('clone', NEWUSER | 17 | 1 << 40, 0, 0, 0, 0)\n\
         os._exit(0) if pid == 0 else os.waitpid(pid, 0)",
        "EPERM",
        Same,
    ),
    both(
        "clone3 into a user namespace, whose flags a filter cannot read",
        "a = (ctypes.c_uint64 * 11)(NEWUSER, 0, 0, 0, 17)\n\
         pid = sc('clone3', ctypes.byref(a), 88)\n\
         os._exit(0) if pid == 0 else os.waitpid(pid, 0)",
        "ENOSYS",
        Same,
    ),
    both(
        "clone3 into another cgroup",
        "a = (ctypes.c_uint64 * 11)(0x2_0000_0000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 999)\n\
         sc('clone3', ctypes.byref(a), 88)",
        "ENOSYS",
        Looked,
    ),
    both(
        "enter the mount namespace of PID 1 anew",
        "sc('setns', os.open('/proc/self/ns/mnt', os.O_RDONLY), 0)",
        "EPERM",
        Same,
    ),
    both(
        "enter the user namespace of PID 1",
        "sc('setns', os.open('/proc/self/ns/user', os.O_RDONLY), NEWUSER)",
        "EPERM",
        Looked,
    ),
    both(
        "enter all namespaces of a process by its pidfd",
        "sc('setns', sc('pidfd_open', os.getppid(), 0), NEWNS | NEWPID | NEWNET)",
        "EPERM",
        Same,
    ),
    both(
        "setns on a descriptor that is none",
        "sc('setns', -1, 0)",
        "EPERM",
        Looked,
    ),
    both(
        "learn the owner of the user namespace above (NS_GET_PARENT)",
        "fcntl.ioctl(os.open('/proc/self/ns/user', os.O_RDONLY), 0xb702)",
        "EPERM",
        Weak("fcntl.ioctl(os.open('/proc/self/ns/user', os.O_RDONLY), 0xb703)"),
    ),
    both(
        "get the user namespace that owns the network (NS_GET_USERNS)",
        "fcntl.ioctl(os.open('/proc/self/ns/net', os.O_RDONLY), 0xb701)",
        "EPERM",
        Same,
    ),
    both(
        "write one's own id map again",
        "write('/proc/self/uid_map', '0 0 1')",
        "EPERM|EACCES",
        Weak("sc('unshare', NEWUSER); write('/proc/self/uid_map', '0 0 1')"),
    ),
    both(
        "allow setgroups anew",
        "write('/proc/self/setgroups', 'deny')",
        "EPERM|EACCES",
        Weak("sc('unshare', NEWUSER); write('/proc/self/setgroups', 'deny')"),
    ),
    both(
        "become the host's root by an id outside the map",
        "os.setresuid(70000, 70000, 70000)",
        "EINVAL",
        Same,
    ),
    both(
        "become a group outside the map",
        "os.setresgid(70000, 70000, 70000)",
        "EINVAL",
        Same,
    ),
    both(
        "give a file to an id outside the map",
        "open(scratch('mine'), 'w').close(); os.chown(scratch('mine'), 70000, -1)",
        "EINVAL",
        Same,
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_namespace_is_made_or_entered() {
    besiege("namespaces", ATTEMPTS).await;
}
