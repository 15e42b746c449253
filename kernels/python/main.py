"""Starts the kernel from wherever this directory lies: `python3 main.py --control FD`."""

from soulbox_kernel.__main__ import main

main()
