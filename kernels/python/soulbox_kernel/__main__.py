"""`python3 -m soulbox_kernel --control FD [--preload numpy,pandas]`: a kernel without a zygote."""

import argparse
import sys

from soulbox_kernel.kernel import prepare, serve


def arguments(words):
    parser = argparse.ArgumentParser(prog="soulbox_kernel", description="Runs Python cells for an agent.")
    parser.add_argument("--control", type=int, required=True, metavar="FD",
                        help="the inherited descriptor of the Unix stream socket to the agent")
    parser.add_argument("--preload", default="", metavar="MODULES",
                        help="modules to import before the first cell, separated by commas")
    return parser.parse_args(words)


def main():
    given = arguments(sys.argv[1:])
    prepare(preload=[name for name in given.preload.split(",") if name])
    try:
        serve(given.control)
    except OSError as error:
        sys.exit(f"cannot serve on descriptor {given.control}: {error}")


if __name__ == "__main__":
    main()
