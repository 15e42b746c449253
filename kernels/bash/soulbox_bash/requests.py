"""What the requests of the agent do: each is a few steps that bash takes one after the other."""

import os

from soulbox_bash import script
from soulbox_bash.outcome import failure
from soulbox_kernel.conversation import Failure
from soulbox_kernel.protocol import sound


class Requests:
    """Runs one request at a time with a `Shell`, and tells its end to a `Conversation`."""

    def __init__(self, shell, conversation):
        self._shell = shell
        self._conversation = conversation
        self._steps = None
        self._count = 1
        self._directory = os.getcwd()
        self._lasting = {}
        self._left = None
        self.running = None
        self.interruptible = False
        self.before = frozenset()

    def begin(self, request):
        """Takes the first step of a request."""
        self.running = request
        self._steps = getattr(self, f"_{request.type}")(request.message)
        self._go_on(None)

    def heard(self, word, status, directory, interrupted):
        """Bash has told something: what ran is `done`, or the shell was `left` and begins anew."""
        self._directory = directory
        if word == "left":
            self._left = status
            # The question may have been read by the shell that was left.
            self._shell.ask()
            return
        if self._left is not None:
            status, self._left = self._left, None
        if self.running is not None:
            self._go_on((status, interrupted))

    def restart(self, status):
        """Bash is no more; a new one takes its place, with the environment that the agent has set."""
        self._conversation.note(f"the shell has ended with status {status}; a new one begins, without its "
                                "variables and functions")
        self._left = None
        environment = dict(os.environ)
        for name, value in self._lasting.items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value
        self._shell.again(self._directory, environment)
        if self.running is not None:
            self._steps.close()
            self._end(failure(status, False))

    def _go_on(self, told):
        self.interruptible = False
        try:
            self._steps.send(told)
        except StopIteration:
            self._end(None)
        except (Failure, ValueError) as error:
            self._end(error if isinstance(error, Failure) else Failure("ValueError", str(error)))

    def _end(self, failed):
        self.interruptible = False
        self.running = self._steps = None
        self._conversation.end(failed)

    def _execute(self, message):
        code = sound(message["code"]).encode()
        environment = script.checked(message.get("env") or {})
        if not message.get("silent"):
            self._conversation.count(self._count)
            self._count += bool(code.strip())
        if b"\0" in code:
            raise ValueError("bash cannot run code with a NUL character")
        if environment:
            yield from self._inner(script.lend(environment))
        self.before = self._shell.jobs()
        self.interruptible = True
        self._shell.cell(code)
        status, interrupted = yield
        if interrupted:
            # Bash may have the signal still before it, and would lose what it is told meanwhile.
            self._shell.inner(b":")
            yield
        if environment:
            yield from self._inner(script.give_back(environment))
        failed = failure(status, interrupted)
        if failed is not None:
            raise failed

    def _set_env(self, message):
        environment = script.checked(message["env"])
        yield from self._inner(script.change(environment))
        self._lasting.update(environment)

    def _cd(self, message):
        yield from self._inner(f"builtin cd -- {script.quoted(message['path'])} >/dev/null")

    def _inner(self, code):
        """Lets bash run code of the kernel's; raises Failure with bash's words if it fails."""
        self._shell.inner(code.encode())
        status, _ = yield
        if status:
            raise Failure("OSError", self._shell.complaint())
