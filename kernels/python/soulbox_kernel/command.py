"""`!command` in a cell."""

import os
import signal
import subprocess

PATIENCE = 2.0
"""Seconds an interrupted command has to end by itself before it is killed."""


def run(line):
    """Runs a line of shell with the cell's descriptors; gives its exit status.

    Output arrives as it is written, standard error apart from standard output. An interrupt reaches
    every process of the command, and then the cell.
    """
    __tracebackhide__ = True
    shell = "/bin/bash" if os.path.exists("/bin/bash") else None
    process = subprocess.Popen(line, shell=True, executable=shell, process_group=0)
    try:
        return process.wait()
    except KeyboardInterrupt:
        _end(process)
        raise


def _end(process):
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(PATIENCE)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
