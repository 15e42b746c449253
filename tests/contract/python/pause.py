"""Pauses: what they keep, what ends them, and what comes of time that is over."""

import unittest
import uuid

from contract import VERSION, SandboxCase, main, until
from e2b import NotFoundException, Sandbox, SandboxException, SandboxQuery, SandboxState, TimeoutException


def state(sandbox):
    return sandbox.get_info().state


class Pause(SandboxCase):
    def test_keeps_everything_in_memory(self):
        boot = self.sandbox.files.read("/proc/sys/kernel/random/boot_id")
        sandbox = self._sandbox = self.create(envs={"KEPT": "yes"})
        handle = sandbox.commands.run("n=0; while :; do n=$((n+1)); echo $n > n; sleep 0.05; done", background=True, timeout=0)
        until(lambda: sandbox.files.exists("n"))
        sandbox.pause()
        self.assertFalse(sandbox.is_running())
        self.assertEqual(state(sandbox), SandboxState.PAUSED)
        sandbox.connect(timeout=120)
        self.assertTrue(sandbox.is_running())
        self.assertEqual(state(sandbox), SandboxState.RUNNING)
        self.assertIn(handle.pid, [process.pid for process in sandbox.commands.list()])
        before = int(sandbox.files.read("n") or 0)
        until(lambda: int(sandbox.files.read("n") or 0) > before)
        self.assertEqual(self.run_in("echo $KEPT"), "yes")
        self.assertEqual(sandbox.files.read("/proc/sys/kernel/random/boot_id"), boot)

    def test_twice(self):
        self.assertTrue(self.sandbox.pause())
        self.assertFalse(self.sandbox.pause())

    def test_of_one_that_is_not_there(self):
        with self.assertRaises(NotFoundException):
            Sandbox.pause("nonexistingsandbox")

    def test_is_listed(self):
        mark = {"mark": uuid.uuid4().hex}
        running, paused = self.create(metadata=mark), self.create(metadata=mark)
        paused.pause()
        listed = lambda *states: [each.sandbox_id for each in Sandbox.list(query=SandboxQuery(metadata=mark, state=list(states) or None)).next_items()]
        self.assertEqual(listed(SandboxState.PAUSED), [paused.sandbox_id])
        self.assertEqual(listed(SandboxState.RUNNING), [running.sandbox_id])
        self.assertEqual(listed(), [paused.sandbox_id, running.sandbox_id])

    def test_then_kill(self):
        self.sandbox.pause()
        self.assertTrue(self.sandbox.kill())
        self.assertFalse(self.sandbox.kill())
        with self.assertRaises(NotFoundException):
            self.sandbox.get_info()

    def test_nothing_reaches_it(self):
        self.sandbox.pause()
        with self.assertRaises(TimeoutException):
            self.sandbox.commands.run("true")
        self.assertEqual(state(self.sandbox), SandboxState.PAUSED)

    def test_its_time_does_not_run(self):
        sandbox = self.create(timeout=2)
        sandbox.pause()
        other = self.create(timeout=2)
        until(lambda: not other.is_running())
        self.assertEqual(state(sandbox), SandboxState.PAUSED)
        sandbox.connect(timeout=60)
        self.assertEqual(sandbox.commands.run("echo up").stdout, "up\n")

    def test_that_keeps_files_only_says_that_it_is_not_built(self):
        with self.assertRaisesRegex(SandboxException, "(?i)memory"):
            self.sandbox.pause(keep_memory=False)
        self.assertTrue(self.sandbox.is_running())


class Connect(SandboxCase):
    def test_by_another_client(self):
        self.sandbox.pause()
        other = Sandbox.connect(self.sandbox.sandbox_id, timeout=60)
        self.assertEqual(other.commands.run("echo up").stdout, "up\n")
        self.assertEqual(self.run_in("echo too"), "too")

    def test_gives_time_from_now(self):
        before = self.sandbox.get_info().end_at
        self.sandbox.pause()
        self.sandbox.connect(timeout=1000)
        self.assertGreater(self.sandbox.get_info().end_at, before)

    def test_many_at_once(self):
        from concurrent.futures import ThreadPoolExecutor
        self.sandbox.pause()
        with ThreadPoolExecutor(8) as pool:
            others = list(pool.map(lambda _: Sandbox.connect(self.sandbox.sandbox_id), range(8)))
            said = list(pool.map(lambda other: other.commands.run("echo up").stdout, others))
        self.assertEqual(said, ["up\n"] * 8)


class Lifecycle(SandboxCase):
    def lived(self, **lifecycle):
        sandbox = self.create(timeout=2, lifecycle=lifecycle)
        told = sandbox.get_info().lifecycle
        self.assertEqual(told["on_timeout"], lifecycle["on_timeout"])
        self.assertEqual(told["auto_resume"], lifecycle.get("auto_resume", False))
        return sandbox

    def test_pause_at_the_end_of_its_time(self):
        sandbox = self.lived(on_timeout="pause")
        sandbox.files.write("kept", "x")
        until(lambda: state(sandbox) == SandboxState.PAUSED, within=5)
        self.assertFalse(sandbox.is_running())
        with self.assertRaises(TimeoutException):
            sandbox.commands.run("true")
        sandbox.connect(timeout=60)
        self.assertEqual(sandbox.files.read("kept"), "x")

    def test_kill_at_the_end_of_its_time(self):
        sandbox = self.lived(on_timeout="kill")
        until(lambda: not sandbox.is_running(), within=5)
        with self.assertRaises(NotFoundException):
            sandbox.get_info()

    def test_request_wakes_it(self):
        sandbox = self.create(timeout=60, lifecycle={"on_timeout": "pause", "auto_resume": True})
        sandbox.pause()
        self.assertEqual(state(sandbox), SandboxState.PAUSED)
        self.assertEqual(sandbox.commands.run("echo up").stdout, "up\n")
        self.assertEqual(state(sandbox), SandboxState.RUNNING)

    def test_request_wakes_it_after_its_time(self):
        sandbox = self.lived(on_timeout="pause", auto_resume=True)
        sandbox.files.write("kept", "x")
        until(lambda: state(sandbox) == SandboxState.PAUSED, within=5)
        self.assertEqual(sandbox.files.read("kept"), "x")
        self.assertEqual(state(sandbox), SandboxState.RUNNING)


if __name__ == "__main__":
    main()
