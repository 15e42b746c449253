"""Commands: input, output, users, variables, time limits, ends."""

import threading
import time
import unittest

from contract import VERSION, SandboxCase, main, until
from e2b import (
    AuthenticationException,
    CommandExitException,
    InvalidArgumentException,
    NotFoundException,
    SandboxException,
    TimeoutException,
)


class Run(SandboxCase):
    def test_tells_output_and_exit_code(self):
        result = self.sandbox.commands.run("echo out; echo err >&2")
        self.assertEqual((result.stdout, result.stderr, result.exit_code), ("out\n", "err\n", 0))

    def test_exit_code_other_than_0(self):
        with self.assertRaises(CommandExitException) as caught:
            self.sandbox.commands.run("echo so far; echo why >&2; exit 7")
        self.assertEqual(caught.exception.exit_code, 7)
        self.assertEqual((caught.exception.stdout, caught.exception.stderr), ("so far\n", "why\n"))

    def test_end_by_a_signal(self):
        with self.assertRaises(CommandExitException) as caught:
            self.sandbox.commands.run("kill -KILL $$")
        self.assertNotEqual(caught.exception.exit_code, 0)
        self.assertIn("killed", caught.exception.error)

    def test_output_in_pieces_as_it_comes(self):
        pieces = []
        self.sandbox.files.write("wait", "")
        def on_stdout(text):
            pieces.append(text)
            if text == "one\n":
                self.sandbox.files.remove("wait")
        self.sandbox.commands.run(
            "echo one; while [ -e wait ]; do sleep 0.01; done; echo two; echo err >&2",
            on_stdout=on_stdout,
            on_stderr=pieces.append,
        )
        self.assertEqual(pieces[0], "one\n")
        self.assertEqual(sorted(pieces[1:]), ["err\n", "two\n"])

    @unittest.skipIf(VERSION < (2, 60), "it keeps all output")
    def test_output_that_is_not_kept(self):
        pieces = []
        result = self.sandbox.commands.run("echo out", on_stdout=pieces.append, retain_output=False)
        self.assertEqual((result.stdout, pieces), (None, ["out\n"]))

    def test_much_output(self):
        count = 8 * 1024 * 1024
        result = self.sandbox.commands.run(f"head -c {count} /dev/zero | tr '\\0' x; printf y >&2")
        self.assertEqual((len(result.stdout), result.stdout.strip("x"), result.stderr), (count, "", "y"))

    def test_text_in_many_alphabets_cut_anywhere(self):
        text = "aé中🙂" * 30_000
        self.sandbox.files.write("text", text)
        self.assertEqual(self.sandbox.commands.run("cat text").stdout, text)

    def test_bytes_that_are_no_text(self):
        result = self.sandbox.commands.run(r"printf 'a\xff\xfeb\xc3'; printf '\xe2\x82' >&2")
        self.assertEqual(result.stdout, "a\ufffd\ufffdb\ufffd")
        self.assertIn("\ufffd", result.stderr)

    def test_no_output(self):
        result = self.sandbox.commands.run("true")
        self.assertEqual((result.stdout, result.stderr), ("", ""))

    def test_lines_and_quotes(self):
        self.assertEqual(self.run_in("echo 'a b' \"c'd\"\nprintf '%s|' x y\necho"), "a b c'd\nx|y|")

    def test_input_is_empty_unless_asked_for(self):
        self.assertEqual(self.run_in("cat; echo end"), "end")

    def test_long_command(self):
        self.assertEqual(self.run_in("echo " + "x" * 100_000), "x" * 100_000)
        with self.assertRaises((InvalidArgumentException, SandboxException)):
            self.sandbox.commands.run("echo " + "x" * 200_000)


class Place(SandboxCase):
    def test_default_is_the_users_home(self):
        self.assertEqual(self.run_in("pwd; id -un; echo $HOME $USER $LOGNAME"), "/home/user\nuser\n/home/user user user")

    def test_directory(self):
        self.assertEqual(self.run_in("pwd", cwd="/tmp"), "/tmp")
        self.sandbox.files.make_dir("/home/user/deep/er")
        self.assertEqual(self.run_in("pwd", cwd="deep/er"), "/home/user/deep/er")
        self.assertEqual(self.run_in("pwd", cwd="~/deep"), "/home/user/deep")

    def test_directory_that_is_not_there(self):
        with self.assertRaisesRegex(InvalidArgumentException, "cwd '/nosuch' does not exist"):
            self.sandbox.commands.run("pwd", cwd="/nosuch")

    def test_root(self):
        told = self.run_in("id -u; id -g; pwd; echo $HOME; test -w /etc && echo writes", user="root")
        self.assertEqual(told, "0\n0\n/root\n/root\nwrites")

    def test_groups_of_the_user(self):
        expected = self.run_in("id -nG user", user="root")
        self.assertEqual(self.run_in("id -nG"), expected)

    def test_user_that_is_not_there(self):
        with self.assertRaisesRegex(AuthenticationException, "invalid username: 'nobodyhere'"):
            self.sandbox.commands.run("true", user="nobodyhere")

    def test_sudo(self):
        self.assertEqual(self.run_in("sudo id -u"), "0")
        self.assertEqual(self.run_in("sudo -n sh -c 'echo x > /etc/mine && cat /etc/mine'"), "x")
        self.assertEqual(self.run_in("sudo -u user id -un"), "user")


class Variables(SandboxCase):
    def test_later_ones_win(self):
        sandbox = self.create(envs={"A": "sandbox", "B": "sandbox"})
        self._sandbox = sandbox
        self.assertEqual(self.run_in("echo $A $B", envs={"B": "command"}), "sandbox command")
        self.assertEqual(self.run_in("echo $A $B"), "sandbox sandbox")
        self.assertEqual(self.run_in("A=own; export A; sh -c 'echo $A'"), "own")

    def test_are_the_commands_own(self):
        self.sandbox.commands.run("export LEFT=1")
        self.assertEqual(self.run_in("echo $LEFT", envs={"OTHER": "1"}), "")
        self.assertEqual(self.run_in("echo $OTHER"), "")

    def test_are_reset_by_sudo(self):
        self.assertEqual(self.run_in("sudo sh -c 'echo $GIVEN'", envs={"GIVEN": "x"}), "")

    def test_say_that_it_is_a_sandbox(self):
        self.assertEqual(self.run_in("echo $E2B_SANDBOX"), "true")

    def test_hold_anything(self):
        value = "a b\n'\"$x é 🙂 ="
        self.assertEqual(self.run_in('printf %s "$V"', envs={"V": value}), value)


class Background(SandboxCase):
    def test_is_waited_for(self):
        handle = self.sandbox.commands.run("sleep 0.2; echo done", background=True)
        self.assertGreater(handle.pid, 0)
        self.assertEqual(handle.wait().stdout, "done\n")

    def test_pid_is_that_of_the_command(self):
        handle = self.sandbox.commands.run("echo $$; sleep 60", background=True)
        for stdout, _, _ in handle:
            self.assertEqual(stdout, f"{handle.pid}\n")
            break
        self.assertEqual(self.run_in(f"kill -0 {handle.pid} && echo lives"), "lives")

    def test_is_listed_and_killed(self):
        handle = self.sandbox.commands.run("sleep 60", background=True, envs={"E": "1"}, cwd="/tmp")
        (process,) = [each for each in self.sandbox.commands.list() if each.pid == handle.pid]
        self.assertEqual((process.cmd, process.args), ("/bin/bash", ["-l", "-c", "sleep 60"]))
        self.assertEqual((process.envs.get("E"), process.cwd), ("1", "/tmp"))
        self.assertTrue(handle.kill())
        with self.assertRaises(CommandExitException):
            handle.wait()
        self.assertNotIn(handle.pid, [each.pid for each in self.sandbox.commands.list()])
        self.assertFalse(handle.kill(), "it is gone")

    def test_one_that_is_not_there(self):
        self.assertFalse(self.sandbox.commands.kill(999_999))
        with self.assertRaises(NotFoundException):
            self.sandbox.commands.connect(999_999)

    def test_kill_with_a_child_that_holds_the_output(self):
        handle = self.sandbox.commands.run("sleep 100 & echo up; wait", background=True)
        for stdout, _, _ in handle:
            break
        began = time.monotonic()
        handle.kill()
        with self.assertRaises(CommandExitException):
            handle.wait()
        self.assertLess(time.monotonic() - began, 5)

    def test_goes_on_without_its_client(self):
        handle = self.sandbox.commands.run("sleep 0.5; echo x > left", background=True)
        handle.disconnect()
        until(lambda: self.sandbox.files.exists("left"))

    def test_many_at_once(self):
        handles = [self.sandbox.commands.run(f"sleep 0.2; echo {n}", background=True) for n in range(30)]
        self.assertEqual([handle.wait().stdout for handle in handles], [f"{n}\n" for n in range(30)])


class Connect(SandboxCase):
    def test_sees_what_comes_later(self):
        first = self.sandbox.commands.run("echo early; read x; echo $x", background=True, stdin=True)
        for stdout, _, _ in first:
            self.assertEqual(stdout, "early\n")
            break
        second = self.sandbox.commands.connect(first.pid)
        self.assertEqual(second.pid, first.pid)
        self.sandbox.commands.send_stdin(first.pid, "late\n")
        self.assertEqual(second.wait().stdout, "late\n")

    def test_to_one_that_just_ended(self):
        handle = self.sandbox.commands.run("exit 3", background=True)
        with self.assertRaises(CommandExitException):
            handle.wait()
        with self.assertRaises(CommandExitException) as caught:
            self.sandbox.commands.connect(handle.pid).wait()
        self.assertEqual(caught.exception.exit_code, 3)


class Input(SandboxCase):
    def test_is_read(self):
        handle = self.sandbox.commands.run("read line; echo got $line", background=True, stdin=True)
        self.sandbox.commands.send_stdin(handle.pid, "a b\n")
        self.assertEqual(handle.wait().stdout, "got a b\n")

    def test_of_nothing(self):
        handle = self.sandbox.commands.run("cat", background=True, stdin=True)
        self.sandbox.commands.send_stdin(handle.pid, "")
        self.sandbox.commands.send_stdin(handle.pid, "x")
        self.sandbox.commands.close_stdin(handle.pid)
        self.assertEqual(handle.wait().stdout, "x")

    def test_ends_when_it_is_closed(self):
        handle = self.sandbox.commands.run("wc -c", background=True, stdin=True)
        for _ in range(20):
            handle.send_stdin("é" * 1000) if VERSION >= (2, 60) else self.sandbox.commands.send_stdin(handle.pid, "é" * 1000)
        self.sandbox.commands.close_stdin(handle.pid)
        self.assertEqual(handle.wait().stdout.strip(), "40000")

    def test_to_one_that_is_not_there(self):
        with self.assertRaises(NotFoundException):
            self.sandbox.commands.send_stdin(999_999, "x")

    def test_to_one_that_takes_none(self):
        handle = self.sandbox.commands.run("sleep 30", background=True, stdin=False)
        with self.assertRaises(SandboxException):
            self.sandbox.commands.send_stdin(handle.pid, "x")

    @unittest.skipIf(VERSION < (2, 60), "it has no stream of input")
    def test_as_a_stream(self):
        handle = self.sandbox.commands.run("wc -c", background=True, stdin=True)
        self.sandbox.commands.stream_input(handle.pid, (b"x" * 10_000 for _ in range(50)))
        self.sandbox.commands.close_stdin(handle.pid)
        self.assertEqual(handle.wait().stdout.strip(), "500000")


class TimeLimit(SandboxCase):
    def test_ends_the_wait_and_the_command(self):
        began = time.monotonic()
        with self.assertRaises(TimeoutException):
            self.sandbox.commands.run("sleep 30; touch late", timeout=1)
        self.assertLess(time.monotonic() - began, 4)
        gone = lambda: not [each for each in self.sandbox.commands.list() if "touch late" in str(each.args)]
        until(gone, within=5)

    def test_none(self):
        self.assertEqual(self.sandbox.commands.run("sleep 0.1; echo x", timeout=0).stdout, "x\n")


class Kill(SandboxCase):
    def test_of_the_sandbox_during_a_command(self):
        handle = self.sandbox.commands.run("echo up; sleep 60", background=True)
        for _ in handle:
            break
        threading.Timer(0.2, self.sandbox.kill).start()
        with self.assertRaises(TimeoutException) as caught:
            handle.wait()
        self.assertIn("killed or reached its end of life", str(caught.exception))

    def test_then_nothing_can_be_run(self):
        self.sandbox.kill()
        with self.assertRaises(TimeoutException):
            self.sandbox.commands.run("true")


if __name__ == "__main__":
    main()
