"""`python3 -m soulbox_java --control FD`: a Java kernel in a process of its own."""

import argparse
import sys

from soulbox_java.kernel import serve


def arguments(words):
    parser = argparse.ArgumentParser(prog="soulbox_java", description="Runs Java cells for an agent.")
    parser.add_argument("--control", type=int, required=True, metavar="FD",
                        help="the inherited descriptor of the Unix stream socket to the agent")
    return parser.parse_args(words)


def main():
    given = arguments(sys.argv[1:])
    try:
        status = serve(given.control)
    except OSError as error:
        sys.exit(f"cannot serve on descriptor {given.control}: {error}")
    sys.exit(status)


if __name__ == "__main__":
    main()
