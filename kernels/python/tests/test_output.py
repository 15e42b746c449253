"""What cells, their threads and their child processes print."""

import os
import tempfile
import unittest

from tests.driver import KernelCase


class Output(KernelCase):
    def run_ok(self, code):
        answer = self.kernel.run(code)
        self.assertIsNone(answer.error)
        return answer

    def test_print_is_one_piece(self):
        answer = self.run_ok("print('Hello, World!')")
        self.assertEqual(answer.stdout, ["Hello, World!\n"])
        self.assertEqual(answer.types, ["count", "stdout", "end"])

    def test_short_prints_are_joined(self):
        answer = self.run_ok("print('a')\nprint('b', end='')\nprint(1, 2, sep='-')")
        self.assertEqual(answer.stdout, ["a\nb1-2\n"])

    def test_streams_are_told_apart(self):
        answer = self.run_ok("import sys\nprint('out')\nprint('err', file=sys.stderr)\nprint('out2')")
        self.assertEqual((answer.stdout, answer.stderr), (["out\nout2\n"], ["err\n"]))

    def test_output_leaves_while_the_cell_runs(self):
        with tempfile.TemporaryDirectory() as directory:
            gate = os.path.join(directory, "gate")
            os.mkfifo(gate)
            self.kernel.send("execute", code=f"print('first')\nopen({gate!r}).read()\nprint('second')")
            before = self.kernel.until("stdout")
            self.assertEqual(before[-1]["text"], "first\n")
            with open(gate, "w"):
                pass
            after = self.kernel.until("end")
            self.assertEqual([frame["text"] for frame in after if frame["type"] == "stdout"], ["second\n"])

    def test_line_without_end_leaves_while_the_cell_runs(self):
        with tempfile.TemporaryDirectory() as directory:
            gate = os.path.join(directory, "gate")
            os.mkfifo(gate)
            self.kernel.send("execute", code=f"print('50 %', end='')\nopen({gate!r}).read()")
            self.assertEqual(self.kernel.until("stdout")[-1]["text"], "50 %")
            with open(gate, "w"):
                pass
            self.kernel.until("end")

    def test_results_and_output_keep_their_order(self):
        answer = self.run_ok("print('a')\ndisplay(5)\nprint('b')\n7")
        self.assertEqual(answer.types, ["count", "stdout", "result", "stdout", "result", "end"])
        self.assertEqual(answer.stdout, ["a\n", "b\n"])

    def test_child_process_output_is_in_order(self):
        answer = self.run_ok(
            "import subprocess\nprint('a')\nsubprocess.run(['echo', 'x'])\nprint('b')\n"
            "subprocess.run('echo y >&2', shell=True);")
        self.assertEqual("".join(answer.stdout), "a\nx\nb\n")
        self.assertEqual("".join(answer.stderr), "y\n")

    def test_os_system_and_c_code_are_captured(self):
        answer = self.run_ok(
            "import ctypes, os\nprint('a')\nos.system('echo b')\nctypes.CDLL(None).printf(b'c\\n');")
        self.assertEqual("".join(answer.stdout), "a\nb\nc\n")

    def test_shell_line(self):
        answer = self.run_ok("!echo hi; echo oops >&2; exit 3")
        self.assertEqual((answer.stdout, answer.stderr), (["hi\n"], ["oops\n"]))
        self.assertEqual(self.run_ok("_exit_code").text, "3")

    def test_shell_line_knows_python_values(self):
        self.assertEqual(self.run_ok("word = 'value'\n!echo {word}").stdout, ["value\n"])
        self.assertEqual(self.run_ok("lines = !printf 'a\\nb\\n'\nlist(lines)").text, "['a', 'b']")

    def test_bash_cell(self):
        self.assertEqual("".join(self.run_ok("%%bash\necho one\necho two").stdout), "one\ntwo\n")
        failed = self.kernel.run("%%bash\nexit 4")
        self.assertEqual(failed.error["name"], "CalledProcessError")

    def test_forked_child_prints_once_and_leaves_the_kernel_alone(self):
        answer = self.run_ok(
            "import os\nprint('before')\npid = os.fork()\nif pid == 0:\n    print('child')\nelse:\n"
            "    os.waitpid(pid, 0)\n    print('parent')")
        self.assertEqual("".join(answer.stdout), "before\nchild\nparent\n")
        self.assertEqual(self.run_ok("1 + 1").text, "2")

    def test_forked_child_fails_for_itself(self):
        answer = self.run_ok("import os\npid = os.fork()\nif pid == 0:\n    1 / 0\n"
                             "os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])")
        self.assertIn("ZeroDivisionError", "".join(answer.stderr))
        self.assertEqual(answer.text, "1")

    def test_multiprocessing_child_prints(self):
        answer = self.run_ok(
            "import multiprocessing as mp\nmaking = mp.get_context('fork')\ndef work():\n    print('from child')\n"
            "p = making.Process(target=work); p.start(); p.join()\np.exitcode")
        self.assertEqual(("".join(answer.stdout), answer.text), ("from child\n", "0"))

    def test_display_in_a_forked_child_is_text(self):
        answer = self.run_ok(
            "import os\npid = os.fork()\nif pid == 0:\n    display(41)\n    os._exit(0)\nos.waitpid(pid, 0);")
        self.assertEqual("".join(answer.stdout), "41\n")

    def test_threads_of_a_cell_print(self):
        answer = self.run_ok(
            "import threading\nts = [threading.Thread(target=print, args=(f'line {i}',)) for i in range(20)]\n"
            "for t in ts: t.start()\nfor t in ts: t.join()")
        lines = "".join(answer.stdout)
        for number in range(20):
            self.assertIn(f"line {number}", lines)

    def test_output_after_the_end_is_told_without_an_id(self):
        self.run_ok("import threading\ngo = threading.Event()\n"
                    "def late():\n    go.wait()\n    print('late')\nt = threading.Thread(target=late); t.start()")
        self.run_ok("import os, signal\nsignal.signal(signal.SIGUSR1, lambda *_: go.set())")
        os.kill(self.kernel.process.pid, 10)
        frame = self.kernel.frame()
        self.assertEqual((frame["type"], frame["id"], frame["text"]), ("stdout", None, "late\n"))

    def test_much_output_comes_whole_and_in_bounded_pieces(self):
        for _ in range(5):
            answer = self.run_ok("for i in range(100_000): print(i)")
            self.assertEqual("".join(answer.stdout).split(), [str(i) for i in range(100_000)])
        answer = self.run_ok("print('x' * 3_000_000)")
        self.assertEqual(len("".join(answer.stdout)), 3_000_001)
        self.assertLessEqual(max(map(len, answer.stdout)), 64 * 1024)

    def test_much_output_of_a_child_comes_whole(self):
        answer = self.run_ok("import subprocess\nsubprocess.run(['seq', '200000']);")
        self.assertEqual("".join(answer.stdout), "".join(f"{i}\n" for i in range(1, 200_001)))

    def test_any_text_passes(self):
        answer = self.run_ok("print('häß 😀 \\0 \\x1b[31m', '\\ud83d\\ude00', '\\ud800', '\\udcff')")
        self.assertEqual(answer.stdout, ["häß 😀 \0 \x1b[31m 😀 \ufffd \ufffd\n"])

    def test_any_bytes_pass(self):
        answer = self.run_ok("import sys\nsys.stdout.buffer.write(b'a\\xff\\xc3'); sys.stdout.buffer.write(b'\\xa4\\n');")
        self.assertEqual("".join(answer.stdout), "a\ufffdä\n")
        answer = self.run_ok("import os\nos.write(1, b'cut \\xc3');")
        self.assertEqual("".join(answer.stdout), "cut \ufffd")
        self.assertEqual(self.run_ok("print('next')").stdout, ["next\n"])

    def test_redirected_output_stays_with_the_user(self):
        answer = self.run_ok("import contextlib, io\nkept = io.StringIO()\n"
                             "with contextlib.redirect_stdout(kept): print('kept')\nkept.getvalue()")
        self.assertEqual((answer.stdout, answer.text), ([], "'kept\\n'"))
        self.assertEqual(self.run_ok("%%capture taken\nprint('x'); display(1)").types, ["count", "end"])

    def test_closing_stdout_does_not_silence_later_cells(self):
        self.run_ok("import sys\nsys.stdout.close()")
        self.assertEqual(self.run_ok("print('still here')").stdout, ["still here\n"])


if __name__ == "__main__":
    unittest.main()
