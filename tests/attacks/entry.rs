//! Other ways into Linux: the 32-bit and x32 interfaces, numbers that are none, and changes to a
//! call after it was judged.

use crate::attempt::{Attempt, Control, both};
use crate::siege::besiege;
use Control::{Looked, Same};

const ATTEMPTS: &[Attempt] = &[
    both(
        "getpid by int 0x80",
        // mov eax, 20; int 0x80; ret
        "call, _ = machine_code(bytes.fromhex('b814000000cd80c3'))\ncall() > 0 or lacking('ia32')",
        "SIGSYS",
        Same,
    ),
    both(
        "unshare a user namespace by int 0x80",
        // push rbx; mov ebx, NEWUSER; mov eax, 310; int 0x80; pop rbx; ret
        "call, _ = machine_code(bytes.fromhex('53bb00000010b836010000cd805bc3'))\n\
         ctypes.c_int(call()).value == 0 or lacking('ia32')",
        "SIGSYS",
        Same,
    ),
    both(
        "mount by int 0x80",
        // mount (21) with null pointers: EFAULT or EINVAL where it is looked at
        "call, _ = machine_code(bytes.fromhex('5331db31c931d231f631ffb815000000cd805bc3'))\n\
         ctypes.c_int(call()).value == -38 and lacking('ia32')",
        "SIGSYS",
        Same,
    ),
    both(
        "a far jump into 32-bit code, and from there into Linux",
        "def code(at):\n    low = at + 0x8000\n    there = at + 0x100\n    back = at + 0x200\n    \
         first = bytes.fromhex('5355') + b'\\x48\\x89\\x24\\x25' + struct.pack('<I', at + 0x400) \\\n        \
         + b'\\xbc' + struct.pack('<I', low) + bytes.fromhex('6a23') + b'\\x68' + struct.pack('<I', there) \\\n        \
         + bytes.fromhex('48cb')\n    \
         second = bytes.fromhex('b814000000cd80') + b'\\xea' + struct.pack('<IH', back, 0x33)\n    \
         third = b'\\x48\\x8b\\x24\\x25' + struct.pack('<I', at + 0x400) + bytes.fromhex('5d5bc3')\n    \
         whole = bytearray(0x1000)\n    whole[:len(first)] = first\n    \
         whole[0x100:0x100 + len(second)] = second\n    whole[0x200:0x200 + len(third)] = third\n    \
         return bytes(whole)\n\
         call, _ = machine_code(code, low=True)\nctypes.c_int(call()).value > 0 or lacking('ia32')",
        "SIGSYS",
        Same,
    ),
    both(
        "getpid as an x32 call",
        "sc(0x40000000 | NR['getpid'])",
        "ENOSYS",
        Same,
    ),
    both(
        "unshare a user namespace as an x32 call",
        "sc(0x40000000 | NR['unshare'], NEWUSER)",
        "ENOSYS",
        Same,
    ),
    both(
        "execute a program as an x32 call",
        "sc(0x40000000 | 520, b'/bin/true', None, None)",
        "ENOSYS",
        Looked,
    ),
    both(
        "mount with bits above the number that Linux throws away",
        // movabs rax, 1 << 32 | 165; everything else zero; syscall; ret
        "call, _ = machine_code(bytes.fromhex('31ff31f631d24d31d24d31c0') + b'\\x48\\xb8'\n   \
         + struct.pack('<Q', 1 << 32 | NR['mount']) + bytes.fromhex('0f05c3'))\n\
         code = ctypes.c_int(call()).value\nraise OSError(-code, 'mount')",
        "EPERM",
        Looked,
    ),
    both(
        "a number below zero",
        "sc(-2)",
        "ENOSYS",
        Control::Inside("sc('getpid')"),
    ),
    both(
        "the highest number",
        "sc(0x7fffffff)",
        "ENOSYS",
        Control::Inside("sc('getpid')"),
    ),
    both(
        "change a harmless call into unshare when the tracer has its turn",
        TRACED,
        "EPERM",
        Same,
    ),
    both(
        "answer one's own calls by a weaker filter of one's own",
        // no_new_privs; a filter of one instruction that allows everything
        "sc('prctl', 38, 1, 0, 0, 0)\n\
         rule = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0x7fff0000))\n\
         sc('seccomp', 1, 0, ctypes.create_string_buffer(struct.pack('HxxxxxxQ', 1, ctypes.addressof(rule))))\n\
         sc('unshare', NEWUSER)",
        "EPERM",
        Same,
    ),
    both(
        "let a supervisor of one's own wave a call through (seccomp notifications)",
        NOTIFIED,
        "EPERM",
        Same,
    ),
    both(
        "have system calls handed to oneself (user dispatch), then call on",
        "keep = ctypes.create_string_buffer(8); sc('prctl', 59, 1, 0, 0, ctypes.addressof(keep))\n\
         sc('unshare', NEWUSER)",
        "EPERM",
        Same,
    ),
    both(
        "take the filter away",
        "sc('prctl', 22, 0, 0, 0, 0); sc('unshare', NEWUSER)",
        "EINVAL",
        Control::Weak("sc('unshare', NEWUSER)"),
    ),
];

/// A child that stops at its calls, whose number and argument its tracer writes anew.
const TRACED: &str = r"
def child():
    sc('ptrace', 0, 0, 0, 0)
    os.kill(os.getpid(), 19)
    value = sc('getpid')
    os._exit(value if 0 <= value < 200 else 201)

pid = os.fork()
if pid == 0:
    try:
        child()
    except OSError as error:
        os._exit(error.errno)
os.waitpid(pid, 0)
changed = False
while True:
    sc('ptrace', 24, pid, 0, 0)
    status = os.waitpid(pid, 0)[1]
    if os.WIFEXITED(status):
        break
    number = ctypes.c_long()
    sc('ptrace', 3, pid, 120, ctypes.byref(number))
    if number.value == NR['getpid'] and not changed:
        sc('ptrace', 6, pid, 120, NR['unshare'])
        sc('ptrace', 6, pid, 112, NEWUSER)
        changed = True
code = os.WEXITSTATUS(status)
changed or refused('broken: the call was not seen')
if code:
    raise OSError(code, 'unshare')
";

/// A supervisor that answers a notification with SECCOMP_USER_NOTIF_FLAG_CONTINUE.
const NOTIFIED: &str = r"
def program(*rows):
    code = b''.join(struct.pack('HBBI', *row) for row in rows)
    kept = ctypes.create_string_buffer(code)
    return ctypes.create_string_buffer(struct.pack('HxxxxxxQ', len(rows), ctypes.addressof(kept))), kept

ours, theirs = socket.socketpair()
pid = os.fork()
if pid == 0:
    sc('prctl', 38, 1, 0, 0, 0)
    order, kept = program(
        (0x20, 0, 0, 0), (0x15, 0, 1, NR['unshare']), (6, 0, 0, 0x7fc00000), (6, 0, 0, 0x7fff0000))
    try:
        listener = sc('seccomp', 1, 8, order)
        socket.send_fds(theirs, [b'x'], [listener])
        os.close(listener)
        sc('unshare', NEWUSER)
        os._exit(0)
    except OSError as error:
        os._exit(error.errno)
theirs.close()
fds = socket.recv_fds(ours, 1, 1)[1]
try:
    note = bytearray(80)
    select.select(fds, [], [], 2)[0] and fcntl.ioctl(fds[0], 0xc0502100, note)
    fcntl.ioctl(fds[0], 0xc0182101, bytearray(note[:8] + struct.pack('qiI', 0, 0, 1)))
except OSError:
    pass  # nothing came: the sandbox's own filter had answered
status = os.waitpid(pid, 0)[1]
if os.WEXITSTATUS(status):
    raise OSError(os.WEXITSTATUS(status), 'unshare')
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_way_leads_into_linux() {
    besiege("entries", ATTEMPTS).await;
}
