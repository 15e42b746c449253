"""What the scripts share: sandboxes that go with their test, waiting, and plain HTTP."""

import http.client
import json
import os
import ssl
import time
import unittest
from importlib.metadata import version
from urllib.parse import urlsplit

from e2b import Sandbox

VERSION = tuple(int(part) for part in version("e2b").split("."))


class SandboxCase(unittest.TestCase):
    """A test with sandboxes, each of which it makes with `create`."""

    def create(self, **options):
        options.setdefault("timeout", 120)
        sandbox = Sandbox.create(**options)
        self.addCleanup(sandbox.kill)
        return sandbox

    @property
    def sandbox(self):
        """The sandbox of a test that needs one like any other."""
        if not hasattr(self, "_sandbox"):
            self._sandbox = self.create()
        return self._sandbox

    def run_in(self, command, **options):
        """What a command prints, without the end of its last line."""
        return self.sandbox.commands.run(command, **options).stdout.rstrip("\n")


def until(condition, within=15.0):
    """Waits until `condition` gives something, and gives that."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {condition}")
        time.sleep(0.02)


def request(method, path, body=None, headers=None, url=None):
    """One plain request to the server. Gives status, headers and body, which is parsed if it is JSON."""
    address = urlsplit(url or os.environ["E2B_API_URL"])
    if address.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(address.hostname, address.port, timeout=30, context=context)
    else:
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    try:
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        content = answer.read()
        if answer.getheader("Content-Type", "").startswith("application/json") and content:
            content = json.loads(content)
        return answer.status, answer.headers, content
    finally:
        connection.close()


def api(method, path, body=None, headers=None):
    """One request with the key."""
    key = {"X-API-KEY": os.environ["E2B_API_KEY"]}
    return request(method, path, body, key | (headers or {}))


def fetch(url, method="GET", body=None, headers=None):
    """One request to a URL that a client gave."""
    parts = urlsplit(url)
    return request(method, f"{parts.path}?{parts.query}", body, headers, url)


def main():
    unittest.main(verbosity=2)
