"""The bash of a kernel: how it is started, told what to do, heard and ended."""

import fcntl
import os
import signal
import subprocess

from soulbox_bash.descendants import children, descendants

HOST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "host.bash")

COMMANDS, ERRORS, OUTPUT, MEMORY, NEWS = 195, 196, 197, 198, 199
"""Descriptors in bash; `host.bash` tells what they are for. So high that scripts do not use them."""

CELL = ("__soulbox_running=1 __soulbox_arguments=(\"$@\"); "
        f"builtin . /dev/fd/{MEMORY} 0</dev/null 1>&{OUTPUT} 2>&{ERRORS}\n")
"""A cell is read as a file is: with line numbers, and quiet about jobs. By the line itself, for what
it declares in a function would be local. Bash throws the rest of a line away when it is interrupted;
the question in the next line tells the end anyway."""

INNER = f"__soulbox_running=1; builtin . /dev/fd/{MEMORY} 2>>/dev/fd/{MEMORY} || ! :\n"
"""For what the kernel itself wants; what bash says about it goes behind it in the memory file. In front
of `||` errors do not end the shell."""


def _question(number):
    """A line that has bash tell its last exit status. Its number keeps a word said twice from being
    taken for the next one's."""
    return (f"builtin printf 'done {number} %d\\0%s\\0' \"$?\" \"$PWD\" >&{NEWS}; "
            "__soulbox_running=\n")


class Shell:
    """One bash. `output` and `errors` are descriptors of pipes that cells write into."""

    def __init__(self, output, errors):
        self.memory = os.memfd_create("soulbox-bash")
        self._output = output
        self._errors = errors
        self._number = 0
        self._start(os.getcwd(), os.environ)

    def _start(self, directory, environment):
        self.news, news = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        commands, self._commands = os.pipe2(os.O_CLOEXEC)
        # The writing end that bash gets must wait when the pipe is full.
        fcntl.fcntl(news, fcntl.F_SETFL, 0)
        given = {0: commands, COMMANDS: commands, ERRORS: self._errors, OUTPUT: self._output,
                 MEMORY: self.memory, NEWS: news}
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        given[1] = given[2] = null
        self.pid = _spawn(given, directory, environment)
        for descriptor in (commands, news, null):
            os.close(descriptor)
        self.exit = os.pidfd_open(self.pid)
        self._rest = b""

    def again(self, directory, environment):
        """A new bash, where the one before has ended. Descriptors `news` and `exit` are new ones."""
        for descriptor in (self.news, self.exit, self._commands):
            os.close(descriptor)
        try:
            os.chdir(directory)
        except OSError:
            directory = "/"
        self._start(directory, environment)

    def cell(self, code):
        """Begins to run `code`, bytes without NUL."""
        self._tell(code, CELL)

    def inner(self, code):
        """Begins to run `code` of the kernel's own."""
        self._tell(code, INNER)
        self._told = len(code)

    def complaint(self):
        """What bash said on standard error about the last `inner` code."""
        text = os.pread(self.memory, 4096, self._told).decode("utf-8", "replace")
        return text.strip().removeprefix("bash: ")

    def _tell(self, code, line):
        os.ftruncate(self.memory, 0)
        at = 0
        while at < len(code):
            at += os.pwrite(self.memory, code[at:], at)
        self._number += 1
        self._command(line)
        self.ask()

    def ask(self):
        """Has bash tell the end of what it runs. Again, since an interrupt may swallow the question."""
        self._command(_question(self._number))

    def _command(self, line):
        try:
            os.write(self._commands, line.encode())
        except BrokenPipeError:
            # It has ended; `exit` tells.
            pass

    def heard(self):
        """Gives what bash has said, one by one: `(word, status, directory)` for what has ended."""
        try:
            self._rest += os.read(self.news, 65536)
        except BlockingIOError:
            return
        while self._rest.count(b"\0") >= 2:
            head, directory, self._rest = self._rest.split(b"\0", 2)
            word, *numbers = head.decode("ascii", "replace").split()
            # Looked at when its turn comes: the one before may have begun something new.
            if word == "left" or numbers[:1] == [str(self._number)]:
                yield word, int(numbers[-1]) if numbers[-1].isdigit() else 1, os.fsdecode(directory)

    def interrupt(self):
        """SIGINT for bash and all that runs in its foreground; jobs in its background ignore it."""
        try:
            os.killpg(self.pid, signal.SIGINT)
        except ProcessLookupError:
            pass

    def jobs(self):
        """The processes that bash has now, by their ids."""
        return children(self.pid)

    def stop(self, before):
        """Kills what bash has started, except the processes `before` and what these have started."""
        for process in descendants(self.pid, before):
            process.kill()

    def kill(self):
        """Ends bash at once."""
        try:
            signal.pidfd_send_signal(self.exit, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def close(self):
        """No commands any more: bash ends as at the end of its input."""
        os.close(self._commands)

    def reap(self):
        """Waits for bash to end; gives its wait status, or 0 if that was given before."""
        try:
            return os.waitpid(self.pid, 0)[1]
        except ChildProcessError:
            return 0


def _spawn(given, directory, environment):
    def place():
        # Through high numbers first: a descriptor may be where another one has to go.
        high = {number: fcntl.fcntl(given[number], fcntl.F_DUPFD, 200) for number in given}
        for number, descriptor in high.items():
            os.dup2(descriptor, number)
            os.close(descriptor)

    process = subprocess.Popen(
        ["bash", "--noprofile", "--rcfile", HOST, "--noediting", "-i"],
        cwd=directory, env={**environment, "__soulbox_host": HOST}, preexec_fn=place, close_fds=False,
        start_new_session=True, restore_signals=True,
    )
    # Reaped by `reap`; Popen would warn that it is still there.
    process.returncode = 0
    return process.pid
