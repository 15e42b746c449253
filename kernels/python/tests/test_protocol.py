"""Frames: good ones, bad ones, and the end of a conversation."""

import json
import os
import signal
import struct
import subprocess
import sys
import unittest

from soulbox_kernel import protocol
from soulbox_kernel.protocol import BadRequest, FrameTooLarge, Reader, Request
from tests.driver import HERE, KernelCase


class Frames(unittest.TestCase):
    def test_reader_joins_pieces(self):
        body = json.dumps({"type": "cd", "id": "1", "path": "/"}).encode()
        data = (struct.pack(">I", len(body)) + body) * 3
        for step in (1, 3, 7, len(data)):
            reader, seen = Reader(), []
            for at in range(0, len(data), step):
                seen += reader.feed(data[at:at + step])
            self.assertEqual([type(item) for item in seen], [Request] * 3)

    def test_reader_stops_at_a_length_beyond_the_limit(self):
        with self.assertRaises(FrameTooLarge):
            Reader().feed(struct.pack(">I", protocol.FRAME_LIMIT + 1))

    def test_frames_hold_to_the_limit(self):
        at_limit = protocol.FRAME_LIMIT - len('{"t":""}')
        self.assertEqual(len(protocol.encode({"t": "x" * at_limit})), 4 + protocol.FRAME_LIMIT)
        with self.assertRaises(FrameTooLarge):
            protocol.encode({"t": "x" * (at_limit + 1)})

    def test_what_is_no_request(self):
        for body in (b"", b"{", b"\xff", b"[]", b"5", b"null", b"{}", b'{"id": 5, "type": "cd"}',
                     b'{"id": "1", "type": "no"}', b'{"id": "1", "type": "cd"}', b'{"id": "1", "type": "cd", "path": 5}',
                     b'{"id": "1", "type": ["cd"]}',
                     b'{"id": "1", "type": "execute", "code": "1", "env": []}', b"[" * 100_000):
            (item,) = Reader().feed(struct.pack(">I", len(body)) + body)
            self.assertIsInstance(item, BadRequest, body)

    def test_sound_text(self):
        self.assertEqual(protocol.sound("a\ud83d\ude00\ud800b\udc00"), "a😀\ufffdb\ufffd")


class Talk(KernelCase):
    def test_ready_tells_versions(self):
        kernel = self.own_kernel()
        self.assertEqual((kernel.ready["type"], kernel.ready["protocol"]), ("ready", protocol.VERSION))
        self.assertEqual(kernel.ready["pid"], kernel.process.pid)
        self.assertEqual(kernel.ready["python"].split(".")[0], "3")

    def test_bad_requests_are_answered_and_the_next_one_runs(self):
        self.kernel.raw(b"{")
        frame = self.kernel.frame()
        self.assertEqual((frame["type"], frame["id"], frame["name"]), ("error", None, "BadRequest"))
        self.kernel.raw(b'{"id": "x", "type": "dance"}')
        frames = self.kernel.until("end")
        self.assertEqual([frame["id"] for frame in frames], ["x", "x"])
        self.assertIn("execute", frames[0]["value"])
        self.assertEqual(self.kernel.run("1 + 1").text, "2")

    def test_requests_are_handled_in_order(self):
        ids = [self.kernel.send("execute", code=f"print({i})") for i in range(20)]
        for number, id in enumerate(ids):
            frames = self.kernel.until("end")
            self.assertEqual({frame["id"] for frame in frames}, {id})
            self.assertEqual([f["text"] for f in frames if f["type"] == "stdout"], [f"{number}\n"])

    def test_too_many_waiting_requests_are_refused(self):
        kernel = self.own_kernel()
        kernel.send("execute", code="import time\nprint('ready')\ntime.sleep(30)")
        kernel.until("stdout")
        waiting = [kernel.send("execute", code="1") for _ in range(protocol.WAITING_LIMIT)]
        refused = kernel.send("execute", code="1")
        frames = kernel.until("end")
        self.assertEqual((frames[-1]["id"], frames[0]["name"]), (refused, "TooManyRequests"))
        kernel.interrupt()
        kernel.until("end")
        self.assertEqual([kernel.until("end")[-1]["id"] for _ in waiting], waiting)

    def test_code_of_ten_megabytes(self):
        self.assertEqual(self.kernel.run("x = '" + "y" * 10_000_000 + "'\nlen(x)").text, "10000000")

    def test_agent_that_reads_slowly_loses_nothing(self):
        self.kernel.send("execute", code="for i in range(40): print('x' * 100_000)")
        self.kernel.send("execute", code="'after'")
        # Neither the socket nor the pipe can hold all this: the cell waits for us.
        frames = self.kernel.until("end")
        self.assertEqual(sum(len(f["text"]) for f in frames if f["type"] == "stdout"), 40 * 100_001)
        self.assertEqual(self.kernel.until("end")[-1]["status"], "ok")

    def test_closing_the_socket_ends_an_idle_kernel_as_a_program_ends(self):
        kernel = self.own_kernel()
        path = f"/tmp/soulbox-kernel-test-{os.getpid()}"
        self.addCleanup(lambda: os.path.exists(path) and os.unlink(path))
        kernel.run(f"file = open({path!r}, 'w'); file.write('kept')\n"
                   "import atexit; atexit.register(lambda: file.write(' and more'))")
        self.assertEqual(kernel.close(), 0)
        with open(path) as file:
            self.assertEqual(file.read(), "kept and more")

    def test_closing_the_socket_ends_a_running_cell(self):
        kernel = self.own_kernel()
        kernel.send("execute", code="print('ready')\nwhile True: pass")
        kernel.until("stdout")
        self.assertEqual(kernel.close(), 0)

    def test_death_of_the_kernel_closes_the_socket(self):
        kernel = self.own_kernel()
        answer = kernel.run("import subprocess, os, time\nchildren = [subprocess.Popen(['sleep', '30']).pid, os.fork()]\n"
                            "if children[1] == 0: time.sleep(30); os._exit(0)\nprint(*children)")
        for pid in "".join(answer.stdout).split():
            self.addCleanup(os.kill, int(pid), signal.SIGKILL)
        kernel.send("execute", code="os._exit(7)")
        with self.assertRaises(EOFError):
            while True:
                kernel.frame()
        self.assertEqual(kernel.process.wait(20), 7)

    def test_frame_beyond_the_limit_ends_the_kernel(self):
        kernel = self.own_kernel()
        kernel.sock.sendall(b"\xff\xff\xff\xff")
        self.assertEqual(kernel.process.wait(60), 70)


class Start(unittest.TestCase):
    def start(self, *arguments):
        return subprocess.run([sys.executable, "-m", "soulbox_kernel", *arguments], cwd=HERE,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    def test_wrong_descriptors_are_refused_in_words(self):
        for descriptor in ("0", "2", "99"):
            done = self.start("--control", descriptor)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"cannot serve on descriptor {descriptor}", done.stderr)
        self.assertEqual(self.start().returncode, 2)


if __name__ == "__main__":
    unittest.main()
