"""What processes forked from one zygote must not have in common.

Not to be had: the hash seed and the layout of the address space stay those of the zygote.
"""

import os
import random
import sys


def reseed():
    """Gives this process random state and identities of its own."""
    random.seed()
    _numpy()
    _processes()
    _openssl()
    _identifiers()


def _numpy():
    # Only the old global generator: default_rng asks Linux each time.
    module = sys.modules.get("numpy.random")
    if module is not None:
        module.seed()


def _processes():
    # The key that multiprocessing's processes prove each other with.
    module = sys.modules.get("multiprocessing.process")
    if module is not None:
        module.current_process().authkey = os.urandom(32)


def _openssl():
    # OpenSSL sees a fork by the change of its process id. In pid namespaces the child's can be the
    # zygote's, and two children would then make the same keys.
    module = sys.modules.get("ssl")
    if module is not None:
        module.RAND_add(os.urandom(32), 32.0)


def _identifiers():
    module = sys.modules.get("uuid")
    if module is not None:
        module._node = None
        module._last_timestamp = None
    module = sys.modules.get("tempfile")
    if module is not None:
        module.tempdir = None
        module._name_sequence = None
