"""IPython's shell as this kernel has it: no files, no history on disk, no colours, no terminal."""

import contextlib
import sys
import warnings

import IPython
from IPython.core import interactiveshell
from IPython.core.autocall import ExitAutocall
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.profiledir import ProfileDir
from traitlets import Instance, Type, default, observe
from traitlets.config import Config

from soulbox_kernel import awaiting, command
from soulbox_kernel.display import Publisher
from soulbox_kernel.errors import CellExit, Report, has_group, native_lines, text_of
from soulbox_kernel.result import ResultHook

NOWHERE = "/nonexistent"
"""Where a profile would be. Nothing is read from it, and nothing written."""


_INCOMPLETE = "_IncompleteInputError"
"""What Python 3.13 and later raise inside of IPython for code that stops too early."""


class _NoProfile(ProfileDir):
    """A profile without directories, which IPython would make in the user's home."""

    @observe("location")
    def _location_changed(self, change):
        pass


class _Exit(ExitAutocall):
    """`exit` and `quit`: end the cell, whatever they are called with."""

    def __call__(self, *_, **__):
        raise CellExit


class KernelShell(InteractiveShell):
    """The shell of one context. `wire` is set once there is somebody to talk to."""

    displayhook_class = Type(ResultHook)
    display_pub_class = Type(Publisher)
    exiter = Instance(_Exit)
    wire = None
    kernel = None
    """Libraries ask whether this is there, and then take no terminal's width for the width of a
    table. What a Jupyter kernel has there is not."""

    @default("exiter")
    def _default_exiter(self):
        return _Exit(self)

    def __init__(self, **given):
        self.report = Report()
        super().__init__(**given)
        self.loop_runner = awaiting.runner(self.report)
        # IPython puts a database on disk here, for directories visited and %store.
        self.db = {}

    def init_ipython_dir(self, ipython_dir):
        """None: see `NOWHERE`."""

    def init_profile_dir(self, profile_dir):
        self.profile_dir = _NoProfile(location=NOWHERE)

    def init_completer(self):
        """None: nobody types here, and completion brings much code along."""
        self.Completer = None

    def init_virtualenv(self):
        """None: the interpreter is chosen by whoever starts the kernel."""

    def _tee(self, channel):
        # IPython keeps a copy of all output for notebooks to be saved, for the life of the kernel.
        return contextlib.nullcontext()

    def system(self, line):
        """Runs `!line`."""
        __tracebackhide__ = True
        self.user_ns["_exit_code"] = command.run(self.var_expand(line, depth=1))

    system_raw = system
    system_piped = system

    def enable_gui(self, gui=None):
        """Allows `%matplotlib inline`; there is no screen for others."""
        if gui not in (None, "inline"):
            raise UsageError(f"there is no display for {gui}; figures are shown inline")

    def ask_exit(self):
        """What magics call to leave."""
        raise CellExit

    def showtraceback(self, exc_tuple=None, *given, **named):
        """Reports an exception; groups in Python's own form, which IPython would only print."""
        try:
            etype, value, tb = self._get_exc_info(exc_tuple)
        except ValueError:
            return
        if issubclass(etype, CellExit):
            return
        if has_group(value):
            self._showtraceback(etype, value, native_lines(etype, value, tb))
            return
        super().showtraceback(exc_tuple, *given, **named)

    def show_usage_error(self, error):
        """A magic used wrongly is an error of the cell like others."""
        self.report.tell("UsageError", text_of(error), [f"UsageError: {text_of(error)}"])

    def _showtraceback(self, etype, evalue, stb):
        name = etype.__name__
        if name == _INCOMPLETE:
            name = SyntaxError.__name__
            stb = [part.replace(_INCOMPLETE, name) for part in stb]
        self.report.tell(name, text_of(evalue), stb)


def _config():
    config = Config()
    config.HistoryManager.enabled = False
    # Lists are shown whole, as agents want them; output has its own limits.
    config.PlainTextFormatter.max_seq_length = 0
    major = IPython.version_info[0]
    config.InteractiveShell.colors = "nocolor" if major >= 9 else "NoColor"
    config.InteractiveShell.enable_tip = False
    return config


def make():
    """Makes the shell of this process, which `get_ipython()` gives from then on."""
    if hasattr(interactiveshell, "PickleShareDB"):
        # Older versions make the database before anybody can say no.
        interactiveshell.PickleShareDB = lambda _root: {}
    shell = KernelShell.instance(config=_config())
    # Of Python 3.12 and later, about threads; the only one may be the kernel's own.
    warnings.filterwarnings("ignore", message=".*use of fork\\(\\) may lead", category=DeprecationWarning)
    # Modules beside the user's files, wherever the kernel has moved to.
    sys.path.insert(0, "")
    return shell
