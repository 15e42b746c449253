"""A Python zygote: imports once what its children start with, then makes one for each request.

    python3 zygote.py --broker FD [--kernels DIRECTORY] [--preload MODULES]

Its children join sandboxes that run already; the library beside this file does that, the package
`soulbox_zygote` the rest. It has no rights, no secrets, no environment, and no descriptor but its
standard ones and the socket to its broker.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    # Nothing of this directory is to be found by what is imported here or in a child.
    sys.path[:] = [HERE, *(path for path in sys.path if path != HERE)]
    sys.dont_write_bytecode = True
    from soulbox_zygote import serving

    sys.path.remove(HERE)
    serving.run(HERE, sys.argv[1:])


if __name__ == "__main__":
    main()
