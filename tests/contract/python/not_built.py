"""What is not built says so at once, in the client's own kinds of errors."""

import time
import unittest

from contract import VERSION, SandboxCase, main
from e2b import Sandbox, SandboxException, Volume


class NotBuilt(SandboxCase):
    def refused(self, call, named="not built"):
        began = time.monotonic()
        with self.assertRaises(Exception) as caught:
            call()
        self.assertIn(named, str(caught.exception))
        self.assertLess(time.monotonic() - began, 2, "it was tried again")
        return caught.exception

    def test_snapshots_and_forks(self):
        self.assertIsInstance(self.refused(self.sandbox.create_snapshot), SandboxException)
        self.refused(Sandbox.list_snapshots().next_items)
        self.assertFalse(Sandbox.delete_snapshot("base:mine"))
        self.refused(self.sandbox.fork)
        self.assertTrue(self.sandbox.is_running())

    def test_volumes(self):
        self.refused(lambda: Volume.create("mine"))
        self.refused(lambda: self.create(volume_mounts={"/mnt": "mine"}))

    @unittest.skipIf(VERSION < (2, 60), "it has none of these")
    def test_secrets_and_starts_from_files(self):
        from e2b import Secret
        self.refused(lambda: Secret.create("mine", "value"))
        self.sandbox.pause()
        self.refused(lambda: self.sandbox.connect(on_resume="reboot"))
        self.sandbox.connect()
        on_timeout = {"action": "pause", "mode": "filesystem"}
        self.refused(lambda: self.create(lifecycle={"on_timeout": on_timeout}))

    def test_network_rules_that_nothing_would_enforce(self):
        self.refused(lambda: self.create(network={"deny_out": ["1.2.3.4"]}), "would not be enforced")
        self.refused(lambda: self.sandbox.update_network({"deny_out": ["0.0.0.0/0"]}), "cannot be taken")
        self.sandbox.update_network({})


if __name__ == "__main__":
    main()
