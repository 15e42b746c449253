"""Processes that a zygote makes in sandboxes: they are wholly inside, and the zygote survives all.

`SOULBOX_ZYGOTE` names a directory with a zygote's files; the test of crate `soulbox-runtime` sets it.
"""

import json
import os
import random
import select
import signal
import socket
import tempfile
import unittest

from tests.world import FIRST, NAMESPACES, Broker, Sandbox, read_all

ZYGOTE = os.environ.get("SOULBOX_ZYGOTE")
FAR_TOO_MANY = 1 << 20

WHO = """
import json, os, resource, signal, socket, sys
status = dict(line.rstrip("\\n").split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
names = ["Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "PPid",
         "SigBlk", "SigIgn", "SigCgt", "Umask", "Threads"]
print(json.dumps({
    **{name: status[name].split() for name in names},
    "ns": {name: os.readlink(f"/proc/self/ns/{name}") for name in sys.argv[1:]},
    # The list's own descriptor is closed by now.
    "fds": [number for number in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{number}")],
    "environ": open("/proc/self/environ").read(), "env": dict(os.environ), "cwd": os.getcwd(),
    "session": os.getsid(0) == os.getpgid(0) == os.getpid(), "host": socket.gethostname(),
    "limits": [resource.getrlimit(number) for number in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)],
    "nice": os.nice(0), "policy": os.sched_getscheduler(0), "pids": [n for n in os.listdir("/proc") if n.isdigit()],
}))
"""

DRAWN = """
import json, multiprocessing, os, random, secrets, ssl, tempfile, uuid
print(json.dumps({
    "random": random.random(), "uuid1": str(uuid.uuid1()), "uuid4": str(uuid.uuid4()), "ssl": ssl.RAND_bytes(8).hex(),
    "key": bytes(multiprocessing.current_process().authkey).hex(), "name": tempfile.mktemp(),
    "secret": secrets.token_hex(), "hash": hash("what a zygote fixes"), "pid": os.getpid(),
}))
"""


@unittest.skipUnless(ZYGOTE and os.geteuid() == 0, "needs SOULBOX_ZYGOTE and root")
class Join(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker(ZYGOTE, "--preload", "uuid,tempfile,multiprocessing,ssl,secrets")
        cls.one, cls.two = Sandbox(1), Sandbox(2)
        cls.directory = tempfile.TemporaryDirectory(prefix="soulbox-join-")
        os.chmod(cls.directory.name, 0o755)

    @classmethod
    def tearDownClass(cls):
        cls.one.kill()
        cls.two.kill()
        cls.directory.cleanup()
        assert cls.broker.close() == 0

    def script(self, text):
        with tempfile.NamedTemporaryFile("w", dir=self.directory.name, suffix=".py", delete=False) as file:
            file.write(text)
        os.chmod(file.name, 0o644)
        return file.name

    def run_script(self, sandbox, text, **fields):
        out, err, status = self.broker.run(sandbox, self.script(text), **fields)
        self.assertEqual((err, status), (b"", 0))
        return json.loads(out)

    def test_process_is_wholly_in_its_sandbox(self):
        sandbox = self.one
        wanted = {name: os.readlink(f"/proc/{sandbox.first}/ns/{name}") for name in NAMESPACES}
        who = self.run_script(sandbox, WHO, argv=NAMESPACES, groups=[4, 27], directory=b"/usr", umask=0o027,
                              env={"A": "b", "LC_ALL": "C.UTF-8"}, limits=[(7, 512, FAR_TOO_MANY), (4, 0, 0)])
        self.assertEqual(who["ns"], wanted)
        self.assertEqual((who["Uid"], who["Gid"], who["Groups"]), (["1000"] * 4, ["1000"] * 4, ["4", "27"]))
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "SigBlk"):
            self.assertEqual(int(who[name][0], 16), 0, name)
        self.assertEqual((who["NoNewPrivs"], who["Seccomp"], who["PPid"]), (["0"], ["2"], ["1"]))
        # What Python changes when it starts: SIGPIPE and SIGXFSZ ignored, SIGINT handled.
        self.assertEqual((int(who["SigIgn"][0], 16), int(who["SigCgt"][0], 16)), (1 << 12 | 1 << 24, 1 << 1))
        self.assertEqual((who["Umask"], who["Threads"]), (["0027"], ["1"]))
        # The last is where it tells of its end.
        self.assertEqual(who["fds"], ["0", "1", "2", "63"])
        self.assertEqual((who["environ"], who["env"]), ("", {"A": "b", "LC_ALL": "C.UTF-8"}))
        self.assertEqual((who["cwd"], who["session"], who["host"]), ("/usr", True, "sandbox-1"))
        self.assertEqual(who["limits"][0][0], 512)
        self.assertLess(who["limits"][0][1], FAR_TOO_MANY)
        self.assertEqual((who["limits"][1], who["nice"], who["policy"]), ([0, 0], 0, 0))
        self.assertEqual(len(who["pids"]), 2, "a sandbox sees its first process and this one")

    def test_root_keeps_the_capabilities_it_is_given(self):
        who = self.run_script(self.one, WHO, argv=NAMESPACES, uid=0, gid=0, capabilities=0x2B, bounding=0xFF)
        sets = [int(who[name][0], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")]
        self.assertEqual(sets, [0, 0x2B, 0x2B, 0xFF, 0])

    def test_first_word_is_the_process_own(self):
        _, control = self.broker.request(self.one)
        control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        reply = self.broker.reply()
        with control:
            data, rest, _, _ = control.recvmsg(256, 64)
        self.assertEqual(json.loads(data[4:]), {"type": "joined", "pid": reply.pid})
        self.assertEqual(int.from_bytes(data[:4], "big"), len(data) - 4)
        # Linux's word, in the reader's namespaces.
        pid, uid, gid = (int.from_bytes(rest[0][2][at:at + 4], "little") for at in (0, 4, 8))
        self.assertEqual((pid, uid, gid), (reply.outer_pid, self.one.base + 1000, self.one.base + 1000))
        self.assertEqual(sorted(reply.laps), list(reply.laps))
        self.assertEqual(self.one.end(), (reply.pid, 0))

    def test_children_share_nothing_they_must_not(self):
        drawn = [self.run_script(sandbox, DRAWN) for sandbox in (self.one, self.one, self.two)]
        for name in set(drawn[0]) - {"hash", "pid"}:
            self.assertEqual(len({one[name] for one in drawn}), 3, name)
        self.assertEqual(len({one["hash"] for one in drawn}), 1, "documented: the hash seed is the zygote's")

    def test_siblings_cannot_see_or_touch_each_other(self):
        waiting = self.broker.join(self.two)
        with waiting.control:
            outer = waiting.reply.outer_pid
            text = f"""
import json, os
answers = []
for pid in ({outer}, {self.broker.ready.pid}):
    try:
        os.kill(pid, 0)
        answers.append("found")
    except ProcessLookupError:
        answers.append("none")
answers.append(sorted(n for n in os.listdir("/proc") if n.isdigit()) == sorted(["1", str(os.getpid())]))
print(json.dumps(answers))
"""
            self.assertEqual(self.run_script(self.one, text), ["none", "none", True])
        self.two.end()

    def test_keyrings_are_refused_and_kernel_calls_filtered(self):
        text = """
import ctypes, json
libc = ctypes.CDLL(None, use_errno=True)
errors = []
for number in (250, 272, 165):
    ctypes.set_errno(0)
    libc.syscall(number, 0x10000000, 0, 0, 0, 0)
    errors.append(ctypes.get_errno())
print(json.dumps(errors))
"""
        if os.uname().machine != "x86_64":
            self.skipTest("numbers of x86-64")
        keyctl, unshare, mount = self.run_script(self.one, text)
        self.assertTrue(keyctl and unshare and mount, (keyctl, unshare, mount))

    def test_thread_is_known_to_its_c_library(self):
        text = """
import ctypes, json, os, threading
libc = ctypes.CDLL(None)
place, head, length = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_size_t()
libc.prctl(40, ctypes.byref(place), 0, 0, 0)
libc.syscall(274 if os.uname().machine == 'x86_64' else 100, 0, ctypes.byref(head), ctypes.byref(length))
print(json.dumps([ctypes.c_int.from_address(place.value).value == threading.get_native_id(), bool(head.value)]))
"""
        self.assertEqual(self.run_script(self.one, text), [True, True])

    def test_program_started_by_a_child_is_as_any(self):
        text = "import subprocess, json; print(json.dumps(subprocess.check_output(['id', '-u'], text=True)))"
        self.assertEqual(self.run_script(self.one, text), "1000\n")
        text = ("import threading, json; t = threading.Thread(target=lambda: None); t.start(); t.join();"
                " print(json.dumps(threading.get_native_id()))")
        self.assertGreater(self.run_script(self.one, text), 1)

    def test_failures_are_told_and_survived(self):
        # Steps of `wire/src/zygote`: the request itself, user, cgroup, mount, directory.
        self.broker.socket.send(b"nonsense")
        self.assertEqual(self.failure(None), (0, 74))
        self.assertEqual(self.failed(self.one, namespaces=[]), (0, 74))
        foreign = Sandbox(5, owner=FIRST - 1)
        self.assertEqual(self.failed(foreign), (2, 1))
        foreign.kill()
        dead = Sandbox(6)
        namespaces = dead.namespaces()
        dead.kill()
        self.assertEqual(self.failed(self.one, namespaces=namespaces), (2, 3))
        shut, _ = pair = os.pipe()
        self.assertEqual(self.failed(self.one, entrances=[shut]), (7, 9))
        for fd in pair:
            os.close(fd)
        mixed = self.one.namespaces()
        mixed[2], other = mixed[3], mixed[2]
        os.close(other)
        mixed[3] = os.dup(mixed[2])
        self.assertEqual(self.failed(self.one, namespaces=mixed), (8, 22))
        self.assertEqual(self.failed(self.one, directory=b"/nowhere"), (18, 2))
        self.assertEqual([self.one.end()[1] for _ in range(3)], [1, 1, 1])
        self.assertEqual(self.run_script(self.one, "print(1)"), 1)

    def failed(self, sandbox, **fields):
        """The step and the error of a request that fails, whose control socket closes."""
        id, control = self.broker.request(sandbox, **fields)
        with control:
            failure = self.failure(id)
            self.assertEqual(control.recv(1), b"", "the control socket closes with a process that failed")
        return failure

    def failure(self, id):
        reply = self.broker.reply()
        self.assertEqual(reply.kind, "failed")
        if id is not None:
            self.assertEqual(reply.id, id)
        return reply.step, reply.errno

    def test_sandbox_that_dies_while_its_process_joins_holds_nobody_up(self):
        chance = random.Random(7)
        for number in range(12):
            sandbox = Sandbox(10 + number)
            id, control = self.broker.request(sandbox)
            # The process joins within a few milliseconds.
            select.select([self.broker.socket], [], [], chance.random() * 0.004)
            sandbox.kill()
            with control:
                told = read_to_end(control)
            # A reply comes, or none, but the socket closes in any case.
            ready, _, _ = select.select([self.broker.socket], [], [], 0)
            if ready:
                self.assertEqual(self.broker.reply().id, id)
            else:
                self.assertEqual(told, b"")
        self.assertEqual(self.run_script(self.one, "print(1)"), 1)

    def test_stopping_all_inside_stops_nobody_outside(self):
        stopper = Sandbox(9)
        text = """
import os, signal, time
end = time.monotonic() + 60
while time.monotonic() < end:
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in (1, os.getpid()):
            try:
                os.kill(int(name), signal.SIGSTOP)
            except ProcessLookupError:
                pass
"""
        child = self.broker.join(stopper, uid=0, gid=0, capabilities=1 << 5, bounding=1 << 5)
        try:
            out = os.pipe()
            request = {"type": "script", "path": self.script(text), "env": {}}
            child.send(json.dumps(request), [out[1], out[1], out[1]])
            controls = [self.broker.request(stopper)[1] for _ in range(5)]
            # Whatever becomes of those, this one is served.
            id, control = self.broker.request(self.two)
            while self.broker.reply().id != id:
                pass
            control.close()
            self.two.end()
            for fd in out:
                os.close(fd)
        finally:
            stopper.kill()
        for control in controls:
            read_to_end(control)
            control.close()
        while select.select([self.broker.socket], [], [], 0)[0]:
            self.broker.reply()

    def test_zygote_with_threads_does_not_serve(self):
        with open(os.path.join(self.directory.name, "soulbox_kernel.py"), "w") as file:
            # A thread that Python itself does not count.
            file.write("import _thread, time\ndef prepare(preload):\n    _thread.start_new_thread(time.sleep, (60,))")
        with self.assertRaises(EOFError):
            Broker(ZYGOTE, "--kernels", self.directory.name)

    def test_children_outlive_their_zygote(self):
        broker = Broker(ZYGOTE)
        child = broker.join(self.two)
        self.addCleanup(child.control.close)
        os.kill(broker.ready.pid, signal.SIGKILL)
        broker.close()
        out = os.pipe()
        text = "import decimal, os; print(decimal.Decimal(1), os.getppid())"
        child.send(json.dumps({"type": "script", "path": self.script(text)}), [out[0], out[1], out[1]])
        os.close(out[1])
        self.assertEqual(read_all(out[0]), b"1 1\n")
        self.assertEqual(self.two.end(), (child.pid, 0))


def read_to_end(control):
    data = b""
    while more := control.recv(4096):
        data += more
    return data


if __name__ == "__main__":
    unittest.main()
