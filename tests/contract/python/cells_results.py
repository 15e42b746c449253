"""What a cell of Python gives: values, everything that can be displayed, output, errors."""

import base64
import unittest

from e2b_code_interpreter import Sandbox

from cells import CellCase, main

EVERYTHING = """
from IPython.display import display
display({
    "text/plain": "plain", "text/html": "<b>html</b>", "text/markdown": "# md", "text/latex": "$x$",
    "image/svg+xml": "<svg/>", "image/png": "cG5n", "image/jpeg": "anBlZw==", "application/pdf": "cGRm",
    "application/json": {"a": [1, None]}, "application/javascript": "alert(1)", "application/x-mine": "mine",
}, raw=True)
"""


class Fresh(unittest.TestCase):
    def test_the_second_cell_has_number_two(self):
        sandbox = Sandbox.create(timeout=120)
        self.addCleanup(sandbox.kill)
        # One without code tells the next number and does not take it.
        counts = [sandbox.run_code(code).execution_count for code in ("x = 1", "x; x", "", "x =", "x")]
        self.assertEqual(counts, [1, 2, 3, 3, 4])
        self.assertEqual(sandbox.run_code("x +=1; x").text, "2")


class Results(CellCase):
    def test_the_last_value(self):
        for code, text in (("1+1", "2"), ("'abc'", "abc"), ('"/home/user"', "/home/user"), ("[1, 'a']", "[1, 'a']"),
                           ("None", None), ("x = 1", None), ("1;", None), ("import os; os.getcwd()", "/home/user"),
                           ("'é🙂'", "é🙂"), ("import asyncio; await asyncio.sleep(0, 7)", "7")):
            execution = self.cell(code)
            self.assertEqual(execution.text, text, code)
            self.assertEqual(len(execution.results), 0 if text is None else 1, code)

    def test_everything_that_can_be_displayed(self):
        (result,) = self.cell(EVERYTHING).results
        self.assertFalse(result.is_main_result)
        told = {name: result[name] for name in ("text", "html", "markdown", "latex", "svg", "javascript", "json")}
        self.assertEqual(told, {"text": "plain", "html": "<b>html</b>", "markdown": "# md", "latex": "$x$",
                                "svg": "<svg/>", "javascript": "alert(1)", "json": {"a": [1, None]}})
        for name in ("png", "jpeg", "pdf"):
            self.assertEqual(base64.b64decode(result[name]).decode(), name)
        self.assertEqual(result.extra, {"application/x-mine": "mine"})
        self.assertEqual(result.data, None)

    def test_what_is_displayed_comes_before_the_value(self):
        execution = self.cell("display(5)\nprint('between')\n7")
        self.assertEqual([(result.text, result.is_main_result) for result in execution.results],
                         [("5", False), ("7", True)])
        self.assertEqual(execution.logs.stdout, ["between\n"])

    def test_lists_and_dicts_are_json_too(self):
        (result,) = self.cell("{'a': [1, 2.5, None, float('nan')], 3: 'x'}").results
        self.assertEqual(result.json, {"a": [1, 2.5, None, None], "3": "x"})
        (result,) = self.cell("list(range(5000))").results
        self.assertEqual(result.json, list(range(5000)))
        self.assertNotIn("...", result.text)

    def test_a_data_frame(self):
        (result,) = self.cell(
            "import pandas as pd\n"
            "pd.DataFrame({'n': [1, 2], 's': ['a', None], 't': pd.to_datetime(['2026-01-02', '2026-03-04'])})").results
        self.assertIn("<table", result.html)
        self.assertEqual(result.data["n"], [1, 2])
        self.assertEqual(result.data["s"], ["a", None])
        self.assertEqual(result.data["t"], ["2026-01-02T00:00:00", "2026-03-04T00:00:00"])
        self.assertIn("2026-01-02", result.text)

    def test_a_picture(self):
        (result,) = self.cell("from PIL import Image\nImage.new('RGB', (3, 2), 'red')").results
        self.assertTrue(base64.b64decode(result.png).startswith(b"\x89PNG"))
        (saved,) = self.cell("Image.new('RGB', (3, 2), 'red').save('/tmp/red.png')").results
        self.assertEqual(saved.png, result.png)
        self.assertTrue(self.sandbox.files.read("/tmp/red.png", format="bytes").startswith(b"\x89PNG"))

    def test_the_libraries_are_there(self):
        names = ("numpy pandas scipy sklearn skimage xarray sympy joblib matplotlib seaborn plotly bokeh PIL imageio "
                 "openpyxl xlrd docx bs4 requests aiohttp orjson pytz pytest")
        self.cell("\n".join(f"import {name}" for name in names.split()), timeout=120)


class Output(CellCase):
    def test_one_print_is_one_piece(self):
        execution = self.cell("print('Hello, World!')")
        self.assertEqual(execution.logs.stdout, ["Hello, World!\n"])
        self.assertEqual(execution.results, [])
        execution = self.cell("import sys\nprint('a'); print('b')\nprint('c', file=sys.stderr)")
        self.assertEqual((execution.logs.stdout, execution.logs.stderr), (["a\nb\n"], ["c\n"]))

    def test_what_other_programs_print(self):
        execution = self.cell("import os, subprocess\nprint('first')\nos.system('echo second')\n"
                              "subprocess.run(['sh', '-c', 'echo third >&2; echo fourth'])\nos.write(1, b'fifth\\n');")
        self.assertEqual("".join(execution.logs.stdout), "first\nsecond\nfourth\nfifth\n")
        self.assertEqual("".join(execution.logs.stderr), "third\n")

    def test_it_comes_while_the_cell_runs(self):
        seen = []

        def on_stdout(message):
            seen.append(message.line)
            # What the cell waits for.
            self.sandbox.files.write("/tmp/heard", "yes")

        self.cell("import os, time\nprint('first', flush=True)\nwhile not os.path.exists('/tmp/heard'): time.sleep(0.01)\n"
                  "print('second')", on_stdout=on_stdout)
        self.assertEqual(seen, ["first\n", "second\n"])

    def test_every_kind_has_its_callback(self):
        seen = []
        options = {f"on_{kind}": lambda given, kind=kind: seen.append((kind, given))
                   for kind in ("stdout", "stderr", "result", "error")}
        self.sandbox.run_code("import sys\nprint('o')\nsys.stdout.flush()\ndisplay(3)\nprint('e', file=sys.stderr)\n1/0", **options)
        given = dict(seen)
        self.assertEqual((given["stdout"].line, given["stdout"].error), ("o\n", False))
        self.assertEqual((given["stderr"].line, given["stderr"].error), ("e\n", True))
        self.assertEqual(given["result"].text, "3")
        self.assertEqual(given["error"].name, "ZeroDivisionError")

    def test_much_of_it(self):
        execution = self.cell("print('x' * 99, *[], sep='')\nfor n in range(100_000): print('é' * 50)")
        text = "".join(execution.logs.stdout)
        self.assertEqual(len(text), 100 + 100_000 * 51)
        self.assertEqual(text.count("é"), 5_000_000)
        self.assertEqual(len(self.cell("'y' * 3_000_000").text), 3_000_000)

    def test_characters_of_all_kinds(self):
        self.assertEqual(self.printed("print('é🙂\\x00\\x1b[1m\\u2028')"), "é🙂\x00\x1b[1m\u2028\n")
        self.assertEqual(self.printed("import os; os.write(1, b'a\\xff\\n');"), "a\ufffd\n")

    def test_magics_and_commands(self):
        self.assertEqual(self.printed("!echo $HOME; echo err >&2").splitlines()[0], "/home/user")
        self.assertEqual(self.cell("lines = !printf 'a\\nb'\nlines").text, "['a', 'b']")
        self.assertEqual(self.printed("%%bash\nfor n in 1 2; do echo $n; done"), "1\n2\n")
        self.assertEqual(self.cell("%cd /tmp\nimport os\nos.getcwd()").text, "/tmp")
        self.cell("%cd /home/user")


class Errors(CellCase):
    def test_an_exception(self):
        error = self.failed("x = 1\nprint('before')\nx / 0")
        self.assertEqual((error.name, error.value), ("ZeroDivisionError", "division by zero"))
        self.assertRegex(error.traceback, r"Cell In\[\d+\], line 3")
        self.assertIn("x / 0", error.traceback)
        self.assertNotIn("\x1b", error.traceback)
        self.assertEqual(self.cell("x").text, "1")

    def test_what_came_before_it_is_told(self):
        execution = self.sandbox.run_code("display(1)\nprint('out')\nundefined")
        self.assertEqual(execution.error.name, "NameError")
        self.assertEqual((execution.results[0].text, execution.logs.stdout), ("1", ["out\n"]))

    def test_wrong_syntax(self):
        error = self.failed("def f(:\n  pass")
        self.assertEqual(error.name, "SyntaxError")
        self.assertIn("def f(:", error.traceback)

    def test_there_is_no_input(self):
        self.assertEqual(self.failed("input('name? ')").name, "StdinNotImplementedError")

    def test_an_exit_is_none(self):
        self.cell("kept = 5")
        self.cell("exit()")
        self.assertEqual(self.cell("kept").text, "5")

    def test_code_with_strange_characters(self):
        for code in ("x = 'a\x00b'\nlen(x)", "\ufeff1", "'" + "\u2028" * 3 + "'"):
            self.sandbox.run_code(code)
        self.assertEqual(self.cell("1+1").text, "2")


if __name__ == "__main__":
    main()
