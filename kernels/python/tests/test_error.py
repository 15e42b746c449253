"""How cells fail."""

import unittest

from tests.driver import KernelCase

DASHES = "-" * 75


class Errors(KernelCase):
    def error_of(self, code, **fields):
        answer = self.kernel.run(code, **fields)
        self.assertEqual(answer.status, "error", code)
        self.assertEqual(answer.types.count("error"), 1, code)
        return answer.error

    def test_traceback_is_ipythons_joined_without_colours(self):
        kernel = self.own_kernel()
        error = kernel.run("x = 1\n1 / 0").error
        self.assertEqual((error["name"], error["value"]), ("ZeroDivisionError", "division by zero"))
        self.assertTrue(error["traceback"].startswith(DASHES + "ZeroDivisionError"), error["traceback"])
        self.assertIn("(most recent call last)Cell In", error["traceback"])
        self.assertIn("line 2\n      1 x = 1\n----> 2 1 / 0\n", error["traceback"])
        self.assertNotIn("\x1b", error["traceback"])

    def test_lines_are_those_of_the_cell_whatever_its_environment(self):
        error = self.error_of("x = 1\n\nundefined", env={"A": "1", "B": "2"})
        self.assertIn("line 3\n", error["traceback"])

    def test_syntax_error(self):
        for code in ("def f(", "x = = 1", "'open", "  indented\nnot"):
            self.assertIn(self.error_of(code)["name"], ("SyntaxError", "IndentationError"), code)
        self.assertIn("Cell In", self.error_of("x = = 1")["traceback"])

    def test_code_that_is_no_text_is_an_error(self):
        for code in ("a\0b", "'\ud800'", "(" * 5000, "\x1b[31m"):
            self.error_of(code)
        self.assertEqual(self.kernel.run("1 + 1").text, "2")

    def test_output_before_the_error_comes_first(self):
        answer = self.kernel.run("print('a')\nraise KeyError('k')")
        self.assertEqual(answer.types, ["count", "stdout", "error", "end"])

    def test_groups_are_told_with_their_parts(self):
        error = self.error_of("raise ExceptionGroup('many', [ValueError('v1'), TypeError('t1')])")
        self.assertEqual(error["name"], "ExceptionGroup")
        for part in ("ValueError: v1", "TypeError: t1"):
            self.assertIn(part, error["traceback"])
        self.assertNotIn("soulbox_kernel", error["traceback"])
        self.assertEqual(self.kernel.run("raise ExceptionGroup('g', [ValueError()])").stderr, [])

    def test_chained_exceptions_are_told(self):
        error = self.error_of("try:\n    1 / 0\nexcept Exception as e:\n    raise ValueError('second') from e")
        self.assertEqual(error["name"], "ValueError")
        self.assertIn("ZeroDivisionError", error["traceback"])

    def test_exceptions_whose_text_fails_are_told(self):
        error = self.error_of("class Bad(Exception):\n    def __str__(self): raise RuntimeError\nraise Bad")
        self.assertEqual(error["name"], "Bad")

    def test_exception_with_odd_text(self):
        self.assertEqual(self.error_of("raise ValueError('\\ud800 ä')")["value"], "\ufffd ä")

    def test_huge_exception_is_clipped(self):
        error = self.error_of("raise ValueError('x' * 50_000_000)")
        self.assertLess(len(error["value"]), 300_000)
        self.assertLess(len(error["traceback"]), 1_100_000)
        self.assertIn("characters left out", error["value"])

    def test_recursion_is_an_error(self):
        self.assertEqual(self.error_of("def f(): f()\nf()")["name"], "RecursionError")

    def test_exit_ends_the_cell_silently(self):
        for code in ("exit()", "quit()", "exit", "exit(3)", "try:\n    quit()\nexcept Exception: pass"):
            answer = self.kernel.run(code + "\nprint('not reached')" if "(" in code else code)
            self.assertEqual((answer.types, answer.status), (["count", "end"], "ok"), code)
        self.assertEqual(self.kernel.run("1 + 1").text, "2")

    def test_system_exit_is_an_error_and_the_kernel_lives(self):
        error = self.error_of("import sys\nsys.exit(3)")
        self.assertEqual((error["name"], error["value"]), ("SystemExit", "3"))
        self.assertEqual(self.kernel.run("1 + 1").text, "2")

    def test_input_is_refused(self):
        for code in ("input('name? ')", "import getpass; getpass.getpass()"):
            error = self.error_of(code)
            self.assertEqual(error["name"], "StdinNotImplementedError")
            self.assertIn("no standard input", error["value"])
        self.assertEqual(self.kernel.run("import sys\nsys.stdin.read()").text, "''")

    def test_commands_find_an_empty_standard_input(self):
        self.assertEqual(self.kernel.run("!cat; echo done").stdout, ["done\n"])

    def test_magic_used_wrongly_is_an_error(self):
        error = self.error_of("%no_such_magic")
        self.assertEqual(error["name"], "UsageError")

    def test_error_of_a_magic_cell(self):
        self.assertEqual(self.error_of("%%python\nimport sys; sys.exit(5)")["name"], "CalledProcessError")


class Await(KernelCase):
    def test_await_at_the_top(self):
        self.assertEqual(self.kernel.run("import asyncio\nawait asyncio.sleep(0, 'slept')").text, "'slept'")

    def test_asyncio_run_works_too(self):
        self.assertEqual(self.kernel.run("import asyncio\nasync def f(): return 5\nasyncio.run(f())").text, "5")
        self.assertEqual(self.kernel.run("await f()").text, "5")

    def test_error_behind_await(self):
        answer = self.kernel.run("import asyncio\nawait asyncio.sleep(0)\n1 / 0")
        self.assertEqual(answer.error["name"], "ZeroDivisionError")

    def test_tasks_go_on_between_cells(self):
        self.kernel.run("import asyncio\nasync def later():\n    await asyncio.sleep(0.01)\n    print('task done')\n"
                        "task = asyncio.create_task(later())\nawait asyncio.sleep(0)")
        frame = self.kernel.frame()
        self.assertEqual((frame["id"], frame["text"]), (None, "task done\n"))
        self.assertEqual(self.kernel.run("task.done()").text, "True")


if __name__ == "__main__":
    unittest.main()
