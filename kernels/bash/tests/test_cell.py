"""Cells: what stays between them, how they end, what they print."""

import os
import tempfile
import unittest

from tests.driver import KernelCase


class State(KernelCase):
    def test_variables_functions_aliases_options_and_directory_stay(self):
        kernel = self.own_kernel()
        self.out("x=5; a=(1 'two words'); declare -A m=([k]=v)\nf() { echo \"f $1\"; }\nalias hi='echo aliased'\n"
                 "shopt -s nullglob; set -o pipefail\ncd /usr; set -- one two", kernel)
        self.assertEqual(self.out("echo $x ${a[1]} ${m[k]}; f 1\nhi\npwd; echo $2; false | true; echo $?\n"
                                  "echo /no/such*", kernel), "5 two words v\nf 1\naliased\n/usr\ntwo\n1\n\n")

    def test_several_lines_loops_and_here_documents(self):
        self.assertEqual(self.out("for i in 1 2; do\n  echo \"n $i\"\ndone\ncat <<END\nline $((1 + 1))\n  END\nEND\n"
                                  "cat <<'END'\n$raw\nEND"), "n 1\nn 2\nline 2\n  END\n$raw\n")

    def test_declare_is_not_local(self):
        self.out("declare -i number=5; readonly fixed=1")
        self.assertEqual(self.out("number+=2; echo $number $fixed"), "7 1\n")

    def test_count(self):
        kernel = self.own_kernel()
        self.assertEqual([kernel.run(code).count for code in (":", "false", "  \n", "(", ":")], [1, 2, 3, 3, 4])
        silent = kernel.run("quiet=1", silent=True)
        self.assertEqual(silent.types, ["end"])
        self.assertEqual(kernel.run("echo $quiet").types, ["count", "stdout", "end"])

    def test_standard_input_is_empty(self):
        self.assertEqual(self.out("cat; read line; echo \"$? [$line]\""), "1 []\n")

    def test_shell_options_of_users_do_not_show_the_kernel(self):
        kernel = self.own_kernel()
        kernel.run("PS1='prompt> '; PS4='+ '; set -x; PROMPT_COMMAND='echo oops'")
        answer = kernel.run("echo x")
        self.assertEqual((answer.stdout, answer.stderr), (["x\n"], ["++ echo x\n"]))
        self.assertEqual(kernel.run("set +x; IFS=:; set -u; set -f; echo $-").status, "ok")
        self.assertEqual("".join(kernel.run("echo y").stdout), "y\n")

    def test_commands_see_nothing_of_the_kernel_in_their_environment(self):
        self.assertNotIn("soulbox", self.out("env | grep -v -e ^PATH -e PYTHONPATH -e HOME=; true"))


class Ends(KernelCase):
    def test_a_failing_last_command_is_an_error_as_in_e2b(self):
        answer = self.kernel.run("echo a; (exit 3)")
        self.assertEqual(answer.types, ["count", "stdout", "error", "end"])
        self.assertEqual((answer.error["name"], answer.error["value"], answer.status), ("", "3", "error"))
        self.assertEqual(self.kernel.run("false; true").status, "ok")

    def test_unknown_command(self):
        answer = self.kernel.run("nosuchcommand")
        self.assertEqual((answer.error["value"], "".join(answer.stderr)),
                         ("127", "bash: nosuchcommand: command not found\n"))

    def test_syntax_error_tells_the_line(self):
        answer = self.kernel.run("echo before\necho two; )\necho after")
        self.assertIn("line 2: syntax error near unexpected token `)'", "".join(answer.stderr))
        self.assertEqual((answer.stdout, answer.status), (["before\n"], "error"))
        self.assertEqual(self.kernel.run("if true").status, "error")
        self.assertEqual(self.out("echo well"), "well\n")

    def test_line_numbers_are_those_of_the_cell(self):
        self.out(":")
        self.assertEqual(self.out("echo $LINENO\n\necho $LINENO"), "1\n3\n")

    def test_exit_ends_the_cell_and_keeps_the_state(self):
        kernel = self.own_kernel()
        kernel.run("x='kept $x\n\\'; arr=(a 'b c'); f() { echo \"still $1\"; }; export e=env; alias al='echo al'\n"
                   "shopt -s extglob; cd /usr; set -- p q; umask 077; pid=$$")
        answer = kernel.run("echo a; exit 7; echo b")
        self.assertEqual((answer.stdout, answer.error["value"]), (["a\n"], "7"))
        self.assertEqual(kernel.run("f() { exit 0; }; f; echo not").types, ["count", "end"])
        self.assertEqual(self.out("echo \"$x\" \"${arr[1]}\" $e $PWD $2 $(umask)\nal\nf2=1; shopt -q extglob && echo ext\n"
                                  "[[ $pid == $$ ]] && echo same", kernel),
                         "kept $x\n\\ b c env /usr q 0077\nal\next\nsame\n")

    def test_exit_in_a_subshell_is_its_own(self):
        self.assertEqual(self.out("(exit 4); echo $?; v=$(echo in; exit 5); echo $v $?"), "4\nin 5\n")

    def test_set_e_ends_the_cell_and_keeps_the_state(self):
        kernel = self.own_kernel()
        answer = kernel.run("set -euo pipefail\nx=1\necho a\nfalse\necho b")
        self.assertEqual((answer.stdout, answer.error["value"]), (["a\n"], "1"))
        self.assertEqual(self.out("echo $x $-", kernel)[:2], "1 ")
        self.assertEqual(kernel.run("false").error["value"], "1")
        self.assertIn("unbound variable", "".join(kernel.run("echo $nope").stderr))
        self.assertEqual(self.out("set +eu; false; echo $x", kernel), "1\n")

    def test_a_shell_that_cannot_be_kept_begins_anew(self):
        kernel = self.own_kernel()
        kernel.ask("set_env", env={"LASTING": "yes"})
        kernel.run("x=1; cd /usr; trap 'echo bye' EXIT")
        answer = kernel.run("exit 5")
        self.assertEqual((answer.stdout, answer.error["value"]), (["bye\n"], "5"))
        self.assertIn("a new one begins", "".join(answer.stderr))
        self.assertEqual(self.out("echo \"[${x-}] $PWD $LASTING\"", kernel), "[] /usr yes\n")
        self.assertEqual("".join(kernel.run("exec echo replaced").stdout), "replaced\n")
        self.assertEqual(self.out("echo on", kernel), "on\n")

    def test_killed_bash_is_a_crash(self):
        kernel = self.own_kernel()
        kernel.send("execute", code="echo last; kill -9 $$")
        frames = []
        with self.assertRaises(EOFError):
            while True:
                frames.append(kernel.frame())
        self.assertEqual([frame["text"] for frame in frames if frame["type"] == "stdout"], ["last\n"])
        self.assertEqual(kernel.process.wait(20), 137)


class Output(KernelCase):
    def test_short_output_is_one_piece_and_streams_are_apart(self):
        answer = self.kernel.run("echo a; echo err >&2; echo b")
        self.assertEqual((answer.stdout, answer.stderr), (["a\nb\n"], ["err\n"]))

    def test_output_leaves_while_the_cell_runs(self):
        with tempfile.TemporaryDirectory() as directory:
            gate = os.path.join(directory, "gate")
            os.mkfifo(gate)
            self.kernel.send("execute", code=f"printf 'first'; read < {gate}; echo second")
            self.assertEqual(self.kernel.until("stdout")[-1]["text"], "first")
            with open(gate, "w"):
                pass
            self.assertEqual(self.kernel.until("end")[0]["text"], "second\n")

    def test_much_output_comes_whole_and_in_bounded_pieces(self):
        answer = self.kernel.run("seq 300000")
        self.assertEqual("".join(answer.stdout), "".join(f"{i}\n" for i in range(1, 300_001)))
        self.assertLessEqual(max(map(len, answer.stdout)), 64 * 1024)

    def test_any_bytes_pass(self):
        self.assertEqual(self.out("printf 'a\\xff\\xc3'; printf '\\xa4\\n'; printf '\\0'; printf 'cut \\xc3'"),
                         "a\ufffdä\n\0cut \ufffd")
        self.assertEqual(self.out("echo 'häß 😀'"), "häß 😀\n")

    def test_background_jobs_go_on_between_cells(self):
        with tempfile.TemporaryDirectory() as directory:
            gate = os.path.join(directory, "gate")
            os.mkfifo(gate)
            self.assertEqual(self.out(f"{{ read < {gate}; echo late; }} &\njob=$!; echo started"), "started\n")
            with open(gate, "w"):
                pass
            frame = self.kernel.frame()
            self.assertEqual((frame["type"], frame["id"], frame["text"]), ("stdout", None, "late\n"))
            self.assertEqual(self.out("wait $job; echo $?"), "0\n")

    def test_redirections_by_exec_last_for_the_cell(self):
        self.out("exec >/dev/null 2>&1; echo lost")
        self.assertEqual(self.out("echo back"), "back\n")

    def test_large_code(self):
        self.assertEqual(self.out("x='" + "y" * 3_000_000 + "'; echo ${#x}"), "3000000\n")


if __name__ == "__main__":
    unittest.main()
