"""Terminals: made, resized, typed into, left and found again."""

import threading
import time
import unittest

from contract import VERSION, SandboxCase, main, until
from e2b import CommandExitException, NotFoundException
from e2b.sandbox.commands.command_handle import PtySize


class Terminal:
    """A terminal whose output is gathered."""

    def __init__(self, handle):
        self.handle = handle
        self.output = b""
        self.ended = None
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        try:
            self.ended = self.handle.wait(on_pty=self.take)
        except Exception as error:
            self.ended = error

    def take(self, piece):
        self.output += piece

    def expect(self, text):
        until(lambda: text in self.output)


class Pty(SandboxCase):
    def open(self, **options):
        terminal = Terminal(self.sandbox.pty.create(PtySize(rows=24, cols=80), **options))
        self.type = lambda text: self.sandbox.pty.send_stdin(terminal.handle.pid, text)
        return terminal

    def test_is_a_terminal(self):
        terminal = self.open()
        self.type(b"tty; tput cols; echo $TERM-$LANG\n")
        terminal.expect(b"/dev/pts/")
        terminal.expect(b"\n80\r\n")
        terminal.expect(b"xterm-256color-C.UTF-8")

    def test_is_resized(self):
        terminal = self.open()
        self.type(b"stty size\n")
        terminal.expect(b"24 80")
        self.sandbox.pty.resize(terminal.handle.pid, PtySize(rows=31, cols=99))
        self.type(b"stty size\n")
        terminal.expect(b"31 99")

    def test_place_user_and_variables(self):
        terminal = self.open(cwd="/tmp", envs={"GIVEN": "yes"}, user="root")
        self.type(b"echo $(pwd)-$(id -un)-$GIVEN-\n")
        terminal.expect(b"/tmp-root-yes-")

    def test_ends_with_its_shell(self):
        terminal = self.open()
        self.type(b"exit 5\n")
        terminal.reader.join(10)
        self.assertIsInstance(terminal.ended, CommandExitException)
        self.assertEqual(terminal.ended.exit_code, 5)

    def test_end_of_input_ends_it(self):
        terminal = self.open()
        terminal.expect(b"$ ")
        self.type(b"\x04")
        terminal.reader.join(10)
        self.assertEqual(terminal.ended.exit_code, 0)

    def test_keys_reach_the_foreground(self):
        terminal = self.open()
        self.type(b"echo u''p; sleep 60\n")
        terminal.expect(b"up")
        time.sleep(0.1)  # bash hands the terminal over to what it started
        self.type(b"\x03")
        self.type(b"echo code $?\n")
        terminal.expect(b"code 130")

    def test_is_killed(self):
        terminal = self.open()
        self.assertTrue(self.sandbox.pty.kill(terminal.handle.pid))
        terminal.reader.join(10)
        self.assertIsInstance(terminal.ended, CommandExitException)
        self.assertFalse(self.sandbox.pty.kill(terminal.handle.pid))

    def test_is_found_again(self):
        terminal = self.open()
        self.type(b"KEPT=yes; echo s''et\n")
        terminal.expect(b"set")
        again = Terminal(self.sandbox.pty.connect(terminal.handle.pid))
        self.type(b"echo -$KEPT-\n")
        again.expect(b"-yes-")
        terminal.expect(b"-yes-")

    @unittest.skipIf(VERSION < (2, 60), "it has no stream of input")
    def test_is_typed_into_as_a_stream(self):
        terminal = self.open()
        self.sandbox.pty.stream_input(terminal.handle.pid, (piece for piece in (b"echo a-", "$((6*7))", b"\n")))
        terminal.expect(b"a-42\r\n")

    def test_one_that_is_not_there(self):
        with self.assertRaises(NotFoundException):
            self.sandbox.pty.send_stdin(999_999, b"x")
        with self.assertRaises(NotFoundException):
            self.sandbox.pty.resize(999_999, PtySize(rows=1, cols=1))

    def test_much_output(self):
        terminal = self.open()
        self.type(b"seq 1 100000; echo the-end\n")
        terminal.expect(b"\n100000\r\nthe-end")


if __name__ == "__main__":
    main()
