"""Properties, directory, interrupts, bad requests and the end of a conversation."""

import os
import subprocess
import sys
import time
import unittest

from tests.driver import KernelCase, built


class Properties(KernelCase):
    def test_variables_of_one_cell_are_taken_back(self):
        self.kernel.ask("set_env", env={"shown": "was"})
        code = "System.getProperty(\"shown\") + \"|\" + System.getProperty(\"lent\")"
        self.assertEqual(self.text(code, env={"shown": "now", "lent": "it's \"x\"\n"}), r'''"now|it's \"x\"\n"''')
        self.assertEqual(self.text(code), '"was|null"')

    def test_variables_are_taken_back_from_a_cell_that_fails(self):
        for code in ("throw new Exception();", "int ("):
            self.kernel.run(code, env={"lent": "x"})
            self.assertEqual(self.text("\"\" + System.getProperty(\"lent\")"), '"null"', code)

    def test_set_env_lasts_and_null_takes_away(self):
        self.assertEqual(self.kernel.ask("set_env", env={"A": "1", "B": "2"}).types, ["end"])
        self.kernel.ask("set_env", env={"A": None})
        self.assertEqual(self.text("System.getProperty(\"A\") + System.getProperty(\"B\")"), '"null2"')

    def test_what_cannot_be_set_is_refused(self):
        for environment in ({"": "x"}, {"A": 5}):
            self.assertEqual(self.kernel.ask("set_env", env=environment).error["name"], "ValueError", environment)
            self.assertEqual(self.kernel.run("1", env=environment).error["name"], "ValueError", environment)

    def test_directory(self):
        self.assertEqual(self.kernel.ask("cd", path="/usr").types, ["end"])
        self.assertEqual(self.text("System.getProperty(\"user.dir\")"), '"/usr"')
        failed = self.kernel.ask("cd", path="/no/such")
        self.assertEqual((failed.types, failed.error["name"]), (["error", "end"], "FileNotFoundError"))
        self.assertEqual(self.text("System.getProperty(\"user.dir\")"), '"/usr"')


class Interrupt(KernelCase):
    def interrupted(self, code):
        self.kernel.send("execute", code=code)
        self.kernel.until("stdout")
        before = time.monotonic()
        self.kernel.interrupt()
        frames = self.kernel.until("end")
        error = next(frame for frame in frames if frame["type"] == "error")
        self.assertEqual(error["name"], "KeyboardInterrupt")
        self.assertNotIn("not\n", [frame.get("text") for frame in frames])
        return time.monotonic() - before

    def test_what_sleeps_ends_and_the_state_stays(self):
        self.out("int kept = 1;")
        seconds = self.interrupted("System.out.println(\"go\");\nThread.sleep(100_000);\nSystem.out.println(\"not\");")
        self.assertLess(seconds, 1)
        self.assertEqual(self.text("kept"), "1")

    def test_a_loop_ends(self):
        if int(self.kernel.ready["java"].split(".")[0].split("+")[0]) >= 20:
            self.skipTest("this Java has no means to end a thread")
        for code in ("System.out.println(\"go\"); while (true) { }",
                     "while (true) { try { System.out.println(\"go\"); Thread.sleep(1000); } "
                     "catch (InterruptedException e) { } }"):
            self.assertLess(self.interrupted(code), 3, code)
        self.assertEqual(self.text("1"), "1")

    def test_without_a_cell_it_does_nothing(self):
        for _ in range(10):
            self.kernel.interrupt()
            self.assertEqual(self.text("1"), "1")

    def test_many_interrupts_at_any_moment_leave_a_kernel(self):
        for turn in range(20):
            self.kernel.send("execute", code="for (int i = 0; i < 3; i++) Thread.sleep(1);\nint done = 1;")
            time.sleep(turn / 1000)
            self.kernel.interrupt()
            self.kernel.until("end")
        self.assertEqual(self.text("1"), "1")


class Talk(KernelCase):
    def test_ready(self):
        self.assertEqual((self.kernel.ready["type"], self.kernel.ready["protocol"]), ("ready", 1))
        self.assertRegex(self.kernel.ready["java"], r"^\d+")

    def test_requests_wait_in_line(self):
        ids = [self.kernel.send("execute", code=f"{n};") for n in range(5)]
        ids += [self.kernel.send("set_env", env={"": "1"}), self.kernel.send("cd", path="/")]
        ends = []
        while len(ends) < len(ids):
            frame = self.kernel.frame()
            ends += [frame["id"]] if frame["type"] == "end" else []
        self.assertEqual(ends, ids)

    def test_bad_requests(self):
        self.kernel.raw(b"{")
        self.assertEqual(self.kernel.frame()["name"], "BadRequest")
        self.assertEqual(self.kernel.ask("nonsense").error["name"], "BadRequest")
        self.assertEqual(self.text("1"), "1")

    def test_a_cell_that_ends_its_machine_is_a_crash(self):
        kernel = self.own_kernel()
        kernel.send("execute", code="System.out.println(\"last\"); System.exit(3);")
        frames = []
        with self.assertRaises(EOFError):
            while True:
                frames.append(kernel.frame())
        self.assertEqual([f["text"] for f in frames if f["type"] in ("stdout", "stderr")],
                         ["last\n", "soulbox: the cell has ended its Java machine with status 3\n"])
        self.assertEqual(kernel.process.wait(20), 3)

    def test_close_ends_an_idle_and_a_busy_kernel(self):
        idle, busy = self.own_kernel(), self.own_kernel()
        idle.run("1")
        self.assertEqual(idle.close(), 0)
        busy.send("execute", code="System.out.println(ProcessHandle.current().pid());\nThread.sleep(100_000);")
        pid = busy.until("stdout")[-1]["text"].strip()
        self.assertEqual(busy.close(), 0)
        self.assertFalse(os.path.exists(f"/proc/{pid}"))

    def test_a_slow_reader_slows_the_cell_down(self):
        kernel = self.own_kernel()
        kernel.send("execute", code="for (int i = 0; i < 300_000; i++) System.out.println(\"y\".repeat(99));\n"
                                    "System.err.println(1);")
        time.sleep(0.5)
        with open(f"/proc/{kernel.process.pid}/status") as file:
            memory = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
        self.assertLess(memory, 60_000)
        size = sum(len(frame["text"]) for frame in kernel.until("end") if frame["type"] == "stdout")
        self.assertEqual(size, 30_000_000)

    def test_wrong_descriptors_are_refused_in_words(self):
        for descriptor in ("0", "99"):
            done = subprocess.run([sys.executable, os.path.join(built(), "main.py"), "--control", descriptor], cwd="/",
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"cannot serve on descriptor {descriptor}", done.stderr)


if __name__ == "__main__":
    unittest.main()
