"""Environment, directory, interrupts, bad requests and the end of a conversation."""

import os
import signal
import struct
import subprocess
import sys
import time
import unittest

from tests.driver import HERE, PYTHON, KernelCase


class Environment(KernelCase):
    def test_variables_of_one_cell_are_taken_back(self):
        self.out("old='before'; export shown='was'")
        self.assertEqual(self.out("echo \"$old|$shown|$new\"; env | grep -c ^old=",
                                  env={"old": "it's \"$x\"\n", "shown": "now", "new": "here"}),
                         "it's \"$x\"\n|now|here\n1\n")
        self.assertEqual(self.out("echo \"$old|$shown|${new-none}\"; env | grep -c ^old= || env | grep ^shown="),
                         "before|was|none\n0\nshown=was\n")

    def test_variables_are_taken_back_from_a_cell_that_fails_or_exits(self):
        for code in ("exit 3", "(", "set -e; false"):
            self.kernel.run(code, env={"lent": "x"})
            self.assertEqual(self.out("set +e; echo \"[${lent-}]\""), "[]\n", code)

    def test_set_env_lasts_and_null_takes_away(self):
        self.assertEqual(self.kernel.ask("set_env", env={"A": "1", "B": "2"}).types, ["end"])
        self.kernel.ask("set_env", env={"A": None})
        self.assertEqual(self.out("echo \"[${A-}] $(printenv B)\""), "[] 2\n")

    def test_what_cannot_be_set_is_refused(self):
        for environment in ({"A.B": "x"}, {"": "x"}, {"A": "a\0b"}, {"A": 5}, {"A$(touch /tmp/x)": "x"}):
            self.assertEqual(self.kernel.ask("set_env", env=environment).error["name"], "ValueError", environment)
            self.assertEqual(self.kernel.run("echo no", env=environment).error["name"], "ValueError", environment)
        self.out("readonly STONE=1")
        self.assertIn("readonly", self.kernel.ask("set_env", env={"STONE": "2"}).error["value"])
        self.assertEqual(self.kernel.run("a\0b").error["name"], "ValueError")

    def test_directory(self):
        self.assertEqual(self.kernel.ask("cd", path="/usr").types, ["end"])
        self.assertEqual(self.out("pwd"), "/usr\n")
        failed = self.kernel.ask("cd", path="/no/such $(dir)")
        self.assertEqual((failed.types, failed.error["value"]),
                         (["error", "end"], "cd: /no/such $(dir): No such file or directory"))
        self.assertEqual(self.out("pwd"), "/usr\n")


class Interrupt(KernelCase):
    def interrupted(self, code, kernel=None):
        """Runs `code`, which prints first, interrupts it, and gives the answer and its seconds."""
        kernel = kernel or self.kernel
        kernel.send("execute", code=code)
        kernel.until("stdout")
        before = time.monotonic()
        kernel.interrupt()
        frames = kernel.until("end")
        error = next(frame for frame in frames if frame["type"] == "error")
        self.assertEqual(error["name"], "KeyboardInterrupt")
        return frames, time.monotonic() - before

    def test_what_runs_ends_and_the_shell_stays(self):
        self.out("kept=1")
        for code in ("echo go; sleep 100; echo not", "echo go; while :; do :; done",
                     "echo go; while true; do sleep 0.01; done", "echo go; f() { sleep 100; }; f | cat",
                     "echo go; x=$(sleep 100); echo not", "echo go; wait & wait; (sleep 100)"):
            frames, seconds = self.interrupted(code)
            self.assertLess(seconds, 1.5, code)
            self.assertNotIn("not\n", [frame.get("text") for frame in frames])
            self.assertEqual(self.out("echo $kept"), "1\n")

    def test_a_command_that_ignores_it_is_killed(self):
        kernel = self.own_kernel()
        self.out("kept=1; sleep 1000 & job=$!", kernel)
        _, seconds = self.interrupted("bash -c 'trap \"\" INT; echo go; while :; do sleep 1; done'; sleep 1000", kernel)
        self.assertLess(seconds, 4)
        self.assertEqual(self.out("echo $kept; kill -0 $job && echo lives; kill $job", kernel), "1\nlives\n")

    def test_a_shell_that_ignores_it_is_a_crash(self):
        kernel = self.own_kernel()
        kernel.send("execute", code="trap '' INT; echo go; while :; do :; done")
        kernel.until("stdout")
        kernel.interrupt()
        with self.assertRaises(EOFError):
            while True:
                kernel.frame()

    def test_background_jobs_live_on(self):
        self.out("sleep 1000 & job=$!")
        self.interrupted("echo go; sleep 100")
        self.assertEqual(self.out("kill -0 $job && echo lives; kill $job; wait $job; true"), "lives\n")

    def test_without_a_cell_it_does_nothing(self):
        for _ in range(20):
            self.kernel.interrupt()
            self.assertEqual(self.out("echo on"), "on\n")

    def test_many_interrupts_at_any_moment_leave_a_kernel(self):
        for turn in range(40):
            self.kernel.send("execute", code="for i in {1..300}; do :; done; echo done")
            time.sleep(turn / 8000)
            self.kernel.interrupt()
            self.kernel.until("end")
        self.assertEqual(self.out("echo on"), "on\n")


class Talk(KernelCase):
    def test_ready(self):
        ready = self.own_kernel().ready
        self.assertEqual((ready["type"], ready["protocol"]), ("ready", 1))
        self.assertRegex(ready["bash"], r"^\d+\.\d+")

    def test_in_a_forked_child(self):
        program = ("import os, sys, soulbox_bash\nif os.fork() == 0:\n    os._exit(soulbox_bash.serve(int(sys.argv[2])))\n"
                   "os.close(int(sys.argv[2])); sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))")
        kernel = self.own_kernel(command=("-c", program))
        kernel.send("execute", code="echo go; sleep 100")
        kernel.until("stdout")
        os.kill(kernel.ready["pid"], signal.SIGINT)
        self.assertEqual(kernel.until("end")[0]["name"], "KeyboardInterrupt")
        self.assertEqual(self.out("echo on", kernel), "on\n")
        self.assertEqual(kernel.close(), 0)

    def test_requests_wait_in_line_and_too_many_are_refused(self):
        kernel = self.own_kernel()
        kernel.send("execute", code="echo go; sleep 1")
        kernel.until("stdout")
        ids = [kernel.send("execute", code=f"echo {i}") for i in range(80)]
        ends, refused = [], []
        while len(ends) < 81:
            frame = kernel.frame()
            if frame["type"] == "end":
                ends.append(frame["id"])
            if frame["type"] == "error":
                self.assertEqual(frame["name"], "TooManyRequests")
                refused.append(frame["id"])
        self.assertEqual(sorted(refused), sorted(ids[64:]))

    def test_requests_behind_one_that_is_refused_go_on(self):
        kernel = self.own_kernel()
        ids = [kernel.send("set_env", env={"A-B": "1"}) for _ in range(3)] + [kernel.send("cd", path="/usr")]
        ends = []
        while len(ends) < len(ids):
            frame = kernel.frame()
            ends += [frame["id"]] if frame["type"] == "end" else []
        self.assertEqual(ends, ids)

    def test_bad_requests(self):
        self.kernel.raw(b"{")
        self.assertEqual(self.kernel.frame()["name"], "BadRequest")
        self.assertEqual(self.kernel.ask("nonsense").error["name"], "BadRequest")
        self.assertEqual(self.out("echo on"), "on\n")

    def test_close_ends_an_idle_and_a_busy_kernel(self):
        idle, busy = self.own_kernel(), self.own_kernel()
        self.assertEqual(idle.close(), 0)
        busy.send("execute", code="echo $BASHPID; sleep 1000 & echo $!; exec 5</dev/null; sleep 1000")
        pids = "".join(f["text"] for f in busy.until("stdout") if f["type"] == "stdout").split()
        self.assertEqual(busy.close(), 0)
        deadline = time.monotonic() + 10
        while any(self.lives(pid) for pid in pids):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    @staticmethod
    def lives(pid):
        try:
            with open(f"/proc/{pid}/stat") as file:
                return file.read().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    def test_a_slow_reader_slows_the_cell_down(self):
        kernel = self.own_kernel()
        kernel.send("execute", code="yes | head -c 30000000; echo end >&2")
        time.sleep(0.5)
        with open(f"/proc/{kernel.process.pid}/status") as file:
            memory = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
        self.assertLess(memory, 60_000)
        size = sum(len(frame["text"]) for frame in kernel.until("end") if frame["type"] == "stdout")
        self.assertEqual(size, 30_000_000)

    def test_frame_beyond_the_limit_ends_the_kernel(self):
        kernel = self.own_kernel()
        kernel.sock.sendall(struct.pack(">I", 2**31))
        self.assertEqual(kernel.process.wait(20), 70)

    def test_wrong_descriptors_are_refused_in_words(self):
        for descriptor in ("0", "99"):
            done = subprocess.run([sys.executable, "-m", "soulbox_bash", "--control", descriptor], cwd="/",
                                  env={**os.environ, "PYTHONPATH": f"{HERE}:{PYTHON}"}, stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"cannot serve on descriptor {descriptor}", done.stderr)


if __name__ == "__main__":
    unittest.main()
