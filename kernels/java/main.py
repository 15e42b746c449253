"""Starts the kernel from wherever this directory lies, with the Python kernel's beside it: `python3 main.py --control FD`."""

import os
import sys

sys.path.insert(1, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "python"))

from soulbox_java.__main__ import main  # noqa: E402

main()
