"""SIGINT, and what code does to signals."""

import unittest

from tests.driver import Answer, KernelCase


class Interrupts(KernelCase):
    def interrupted(self, code):
        """Interrupts a cell once it has printed."""
        self.kernel.send("execute", code=code)
        before = self.kernel.until("stdout")
        self.kernel.interrupt()
        return Answer(before + self.kernel.until("end"))

    def assert_interrupted(self, code):
        answer = self.interrupted(code)
        self.assertIsNotNone(answer.error, code)
        self.assertEqual(answer.error["name"], "KeyboardInterrupt", code)
        self.assertEqual(self.kernel.run("1 + 1").text, "2", code)

    def test_sleep(self):
        self.assert_interrupted("import time\nprint('ready')\ntime.sleep(30)")

    def test_busy_loop(self):
        self.assert_interrupted("print('ready')\nwhile True: pass")

    def test_printing_loop(self):
        self.assert_interrupted("while True: print('line')")

    def test_await(self):
        self.assert_interrupted("import asyncio\nprint('ready')\nawait asyncio.sleep(30)")

    def test_asyncio_run(self):
        self.assert_interrupted("import asyncio\nprint('ready')\nasyncio.run(asyncio.sleep(30))")

    def test_child_process(self):
        self.assert_interrupted("import subprocess\nprint('ready')\nsubprocess.run(['sleep', '30'])")

    def test_shell_line(self):
        self.assert_interrupted("!echo ready; sleep 30")

    def test_shell_line_that_ignores_it(self):
        self.assert_interrupted("!trap '' INT; echo ready; sleep 30")

    def test_thread_join_and_lock(self):
        self.assert_interrupted("import threading\nlock = threading.Lock(); lock.acquire()\nprint('ready')\nlock.acquire()")

    def test_cell_may_catch_it(self):
        answer = self.interrupted(
            "import time\nprint('ready')\ntry:\n    time.sleep(30)\nexcept KeyboardInterrupt:\n    print('caught')\n5")
        self.assertEqual((answer.error, answer.text, answer.status), (None, "5", "ok"))

    def test_queued_cell_runs_after_an_interrupted_one(self):
        first = self.kernel.send("execute", code="import time\nprint('ready')\ntime.sleep(30)")
        second = self.kernel.send("execute", code="'ran'")
        self.kernel.until("stdout")
        self.kernel.interrupt()
        ended = self.kernel.until("end")[-1]
        self.assertEqual((ended["id"], ended["status"]), (first, "error"))
        frames = self.kernel.until("end")
        self.assertEqual((frames[-1]["id"], frames[-1]["status"]), (second, "ok"))

    def test_nothing_runs_nothing_happens(self):
        for _ in range(20):
            self.kernel.interrupt()
        self.assertEqual(self.kernel.run("1 + 1").text, "2")

    def test_many_interrupts_leave_the_conversation_whole(self):
        for _ in range(30):
            self.kernel.send("execute", code="while True: print('x' * 100); display(1)")
            self.kernel.until("result")
            for _ in range(5):
                self.kernel.interrupt()
            self.assertEqual(self.kernel.until("end")[-1]["status"], "error")
        self.assertEqual(self.kernel.run("1 + 1").text, "2")

    def test_handler_of_the_user_lasts_for_the_cell(self):
        answer = self.interrupted("import signal, time\nsignal.signal(signal.SIGINT, lambda *_: print('mine'))\n"
                                  "print('ready', flush=True)\nsignal.pause()")
        self.assertIn("mine\n", "".join(answer.stdout))
        self.assert_interrupted("import time\nprint('ready')\ntime.sleep(30)")

    def test_timer_of_the_user_may_raise_at_any_moment(self):
        kernel = self.own_kernel()
        kernel.run("import signal\nleft = 500\ndef raising(*_):\n    global left\n    left -= 1\n"
                   "    if left == 0: signal.setitimer(signal.ITIMER_REAL, 0)\n    raise RuntimeError('timer')\n"
                   "signal.signal(signal.SIGALRM, raising)\nsignal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)")
        # It stops by itself, in a cell or between two; each cell until then ends as it should.
        for _ in range(2000):
            answer = kernel.run("left")
            self.assertLessEqual(answer.types.count("error"), 1)
            if answer.main and answer.text == "0":
                break
        else:
            self.fail("the timer never ran out")
        self.assertEqual(kernel.run("1 + 1").text, "2")


if __name__ == "__main__":
    unittest.main()
