"""Cells that are cut off, wait for each other, or take their kernel with them."""

import threading
import time

from e2b_code_interpreter import Sandbox, TimeoutException

from cells import CellCase, main, until

RUNNING = "open('/tmp/{0}', 'w').close()\n"


class Ends(CellCase):
    ENVS = {"GIVEN": "yes"}

    def in_background(self, code, **options):
        """Runs a cell beside the test. Gives what it came to, when that is there."""
        told = []

        def run():
            try:
                told.append(self.sandbox.run_code(code, **options))
            except Exception as error:
                told.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return told

    def began(self, mark):
        until(lambda: self.sandbox.files.exists(f"/tmp/{mark}"))

    def test_a_time_limit_ends_the_cell(self):
        for language, code in (("python", "import time; time.sleep(300)"), ("python", "while True: pass"),
                               ("javascript", "for (;;);"), ("javascript", "await new Promise(() => {})"),
                               ("bash", "sleep 300")):
            with self.assertRaisesRegex(TimeoutException, "Execution timed out"):
                self.sandbox.run_code(code, language=language, timeout=1)
            begin = time.monotonic()
            after = self.cell("echo 2" if language == "bash" else "1+1", language=language, timeout=10)
            self.assertEqual(after.text or after.logs.stdout[0].strip(), "2")
            self.assertLess(time.monotonic() - begin, 5)

    def test_cells_wait_for_each_other(self):
        context = self.context()
        first = self.in_background(RUNNING.format("first") + "import os, time\n"
                                   "while not os.path.exists('/tmp/go'): time.sleep(0.01)\norder = ['first']", context=context)
        self.began("first")
        second = self.in_background("order.append('second'); order", context=context)
        # Another context does not wait.
        self.assertEqual(self.cell("1+1", timeout=10).text, "2")
        self.assertEqual((first, second), ([], []))
        self.sandbox.files.write("/tmp/go", "")
        until(lambda: second)
        self.assertEqual(second[0].text, "['first', 'second']")

    def test_one_that_waits_behind_one_that_is_cut_off_runs(self):
        context = self.context()
        first = self.in_background(RUNNING.format("cut") + "import time; time.sleep(300)", context=context, timeout=2)
        self.began("cut")
        self.assertEqual(self.cell("1+1", context=context, timeout=20).text, "2")
        until(lambda: first)
        self.assertIsInstance(first[0], TimeoutException)

    def test_a_restart_ends_what_runs(self):
        context = self.context()
        running = self.in_background(RUNNING.format("restarted") + "import time; time.sleep(300)", context=context)
        self.began("restarted")
        self.sandbox.restart_code_context(context)
        until(lambda: running)
        self.assertEqual((running[0].error.name, running[0].error.value), ("ContextRestarting", "Context was restarted"))
        self.assertEqual(self.cell("1+1", context=context).text, "2")

    def test_a_kernel_that_ends_is_replaced(self):
        for language, code, look in (
            ("python", "x = 1; import os; os._exit(1)", "import os; os.environ['GIVEN'] + str('x' in globals()) + os.getcwd()"),
            ("python", "x = 1; import os; os.kill(os.getpid(), 9)",
             "import os; os.environ['GIVEN'] + str('x' in globals()) + os.getcwd()"),
            ("javascript", "globalThis.x = 1; process.kill(process.pid, 'SIGKILL'); await new Promise(() => {})",
             "process.env.GIVEN + ('x' in globalThis ? 'True' : 'False') + process.cwd()"),
        ):
            context = self.context(language=language, cwd="/tmp")
            error = self.failed(code, context=context)
            self.assertEqual((error.name, error.value), ("ContextRestarting", "Context was restarted"), code)
            after = self.cell(look, context=context)
            self.assertEqual((after.text, after.execution_count), ("yesFalse/tmp", 1), code)

    def test_one_that_was_killed_from_outside_is_replaced(self):
        context = self.context()
        pid = self.cell("import os; x = 1; os.getpid()", context=context).text
        self.sandbox.commands.run(f"kill -9 {pid}", user="root")
        until(lambda: not self.sandbox.files.exists(f"/proc/{pid}/cmdline"))
        self.assertEqual(self.cell("'x' in globals()", context=context).text, "False")

    def test_a_sandbox_that_ends_ends_its_cells(self):
        sandbox = Sandbox.create(timeout=120)
        self.addCleanup(sandbox.kill)
        told = []

        def run():
            try:
                told.append(sandbox.run_code("open('/tmp/on', 'w').close()\nimport time; time.sleep(300)"))
            except Exception as error:
                told.append(error)

        threading.Thread(target=run, daemon=True).start()
        until(lambda: sandbox.files.exists("/tmp/on"))
        sandbox.kill()
        until(lambda: told)
        self.assertIsInstance(told[0], TimeoutException, told)
        with self.assertRaises(TimeoutException):
            sandbox.run_code("1")


if __name__ == "__main__":
    main()
