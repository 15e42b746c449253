"""Kernels forked from a process that prepared them: they work, and share nothing they must not."""

import json
import os
import socket
import subprocess
import sys
import unittest

from tests.driver import Conversation, HERE, environment

ZYGOTE = """
import os, socket, sys, threading
import soulbox_kernel
soulbox_kernel.prepare(preload=sys.argv[2].split(','))
assert threading.active_count() == 1, threading.enumerate()
before = sorted(os.listdir('/proc/self/fd'))
control = socket.socket(fileno=int(sys.argv[1]))
while True:
    word, descriptors, _, _ = socket.recv_fds(control, 16, 1)
    if not word:
        break
    pid = os.fork()
    if pid == 0:
        control.close()
        soulbox_kernel.serve(descriptors[0])
        os._exit(0)
    os.close(descriptors[0])
    control.send(str(pid).encode())
"""

SAME_PID = """
import ctypes, os, sys, tempfile
import soulbox_kernel
from soulbox_kernel.reseed import reseed
soulbox_kernel.prepare()
import ssl
ssl.RAND_bytes(1)
tempfile.mktemp()
libc = ctypes.CDLL(None)
for _ in range(2):
    middle = os.fork()
    if middle == 0:
        # A new pid namespace, so that the child's pid is the zygote's: 1.
        assert libc.unshare(0x20000000) == 0
        child = os.fork()
        if child == 0:
            assert os.getpid() == 1
            if sys.argv[1] == 'reseed':
                reseed()
            os.write(1, f'{ssl.RAND_bytes(16).hex()} {tempfile.mktemp()}\\n'.encode())
            os._exit(0)
        os.waitpid(child, 0)
        os._exit(0)
    os.waitpid(middle, 0)
"""


class Zygote(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            preload = "uuid,tempfile,multiprocessing" + (",numpy.random" if cls.has_numpy() else "")
            cls.process = subprocess.Popen([sys.executable, "-c", ZYGOTE, str(theirs.fileno()), preload],
                                           pass_fds=[theirs.fileno()], env=environment(), cwd="/")

    @classmethod
    def tearDownClass(cls):
        cls.control.close()
        cls.process.wait(20)

    @staticmethod
    def has_numpy():
        from importlib.util import find_spec
        return find_spec("numpy") is not None

    def kernel(self):
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self.control, [b"fork"], [theirs.fileno()])
        self.control.recv(16)
        kernel = Conversation(ours)
        self.addCleanup(ours.close)
        self.assertEqual(kernel.frame()["type"], "ready")
        return kernel

    def test_forked_kernel_works(self):
        kernel = self.kernel()
        answer = kernel.run("print('hello')\n!echo from sh\n1 + 1")
        self.assertEqual(("".join(answer.stdout), answer.text, answer.count), ("hello\nfrom sh\n", "2", 1))
        self.assertEqual(kernel.run("1 / 0").error["name"], "ZeroDivisionError")

    def test_preparing_leaves_no_trace_in_the_first_cell(self):
        kernel = self.kernel()
        names = kernel.run("[n for n in globals() if not n.startswith('_')]").main[0]["application/json"]
        self.assertLessEqual(set(names), {"In", "Out", "get_ipython", "exit", "quit", "open"})
        self.assertEqual(kernel.run("Out.keys() - {1}, In[0], _").text.split("\n")[0][:10], "(set(), ''")
        self.assertEqual(kernel.run("import sys; hasattr(sys, 'last_value')").text, "False")

    def test_kernels_do_not_see_each_other(self):
        one, two = self.kernel(), self.kernel()
        one.run("x = 1")
        self.assertEqual(two.run("x").error["name"], "NameError")

    def test_children_differ_in_all_that_is_drawn(self):
        code = """
import json, multiprocessing, os, random, ssl, tempfile, uuid, secrets
drawn = {
    'random': random.random(), 'uuid1': str(uuid.uuid1()), 'node': uuid.getnode(), 'uuid4': str(uuid.uuid4()),
    'key': bytes(multiprocessing.current_process().authkey).hex(), 'ssl': ssl.RAND_bytes(8).hex(),
    'name': tempfile.mktemp(), 'secret': secrets.token_hex(),
}
try:
    import numpy
    drawn['numpy'] = numpy.random.random()
    drawn['default_rng'] = numpy.random.default_rng().random()
except ImportError:
    pass
print(json.dumps(drawn))
"""
        drawn = [json.loads("".join(self.kernel().run(code).stdout)) for _ in range(3)]
        # The machine's own address, where it has one, is everybody's.
        for one in drawn:
            del one["node"]
        for name in drawn[0]:
            self.assertEqual(len({one[name] for one in drawn}), 3, name)

    def test_what_forked_kernels_do_share_is_documented(self):
        seeds = {self.kernel().run("hash('what a zygote fixes')").text for _ in range(2)}
        self.assertEqual(len(seeds), 1, "children have the zygote's hash seed; reseed.py and the README say so")


@unittest.skipUnless(os.geteuid() == 0, "needs root for a pid namespace")
class SamePid(unittest.TestCase):
    """Children whose process id is the zygote's, as in sandboxes."""

    def drawn(self, how):
        done = subprocess.run(["unshare", "--pid", "--fork", sys.executable, "-c", SAME_PID, how],
                              cwd=HERE, env=environment(), capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [line.split() for line in done.stdout.splitlines()]
        self.assertEqual(len(lines), 2, done.stderr)
        return [len(set(drawn)) for drawn in zip(*lines)]

    def test_openssl_and_file_names_differ(self):
        self.assertEqual(self.drawn("reseed"), [2, 2])

    def test_they_would_not_by_themselves(self):
        self.assertEqual(self.drawn("nothing"), [1, 1], "reseeding is no longer needed; drop it")


if __name__ == "__main__":
    unittest.main()
