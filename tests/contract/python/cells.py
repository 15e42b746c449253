"""What the scripts of the code interpreter share: one sandbox for all tests of a class, and contexts that go with theirs."""

import http.client
import os
import time
import unittest
from urllib.parse import urlsplit

from e2b_code_interpreter import Sandbox

PORT = 49999


class CellCase(unittest.TestCase):
    """Tests that share a sandbox."""

    ENVS = {}

    @classmethod
    def setUpClass(cls):
        cls.sandbox = Sandbox.create(timeout=300, envs=cls.ENVS)

    @classmethod
    def tearDownClass(cls):
        cls.sandbox.kill()

    def cell(self, code, **options):
        """Runs a cell that must not fail."""
        execution = self.sandbox.run_code(code, **options)
        self.assertIsNone(execution.error, execution.error)
        return execution

    def failed(self, code, **options):
        """Runs a cell that must fail, and gives its error."""
        execution = self.sandbox.run_code(code, **options)
        self.assertIsNotNone(execution.error, execution)
        return execution.error

    def printed(self, code, **options):
        """What a cell prints to stdout."""
        return "".join(self.cell(code, **options).logs.stdout)

    def context(self, **options):
        """A context that goes with its test."""
        context = self.sandbox.create_code_context(**options)
        self.addCleanup(self.forget, context)
        return context

    def forget(self, context):
        if context.id in [other.id for other in self.sandbox.list_code_contexts()]:
            self.sandbox.remove_code_context(context)

    def ask(self, method, path, body=None, port=PORT):
        """One plain request to a port of the sandbox. Gives status, headers and body."""
        address = urlsplit(os.environ["E2B_SANDBOX_URL"])
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
        headers = {"E2b-Sandbox-Id": self.sandbox.sandbox_id, "E2b-Sandbox-Port": str(port)}
        if self.sandbox.traffic_access_token:
            headers["E2B-Traffic-Access-Token"] = self.sandbox.traffic_access_token
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            connection.close()


def until(condition, within=20.0):
    """Waits until `condition` gives something, and gives that."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {condition}")
        time.sleep(0.02)


def main():
    unittest.main(verbosity=2)
