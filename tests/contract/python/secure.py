"""Tokens of sandboxes and signed URLs of files."""

import time
import unittest

from contract import VERSION, SandboxCase, fetch, main, request
from e2b import Sandbox
from e2b.exceptions import InvalidArgumentException

EMPTY = {"Content-Type": "application/json", "Connect-Protocol-Version": "1"}


class Token(SandboxCase):
    def headers(self, token=None, **more):
        headers = {"E2b-Sandbox-Id": self.sandbox.sandbox_id, "E2b-Sandbox-Port": "49983", **more}
        return headers | ({} if token is None else {"X-Access-Token": token})

    def test_is_needed_for_everything_but_health(self):
        token = self.sandbox._envd_access_token
        self.assertTrue(token)
        calls = [
            ("POST", "/process.Process/List", "{}"),
            ("POST", "/process.Process/Start", "{}"),
            ("POST", "/filesystem.Filesystem/ListDir", '{"path":"/"}'),
            ("GET", "/metrics", None),
            ("GET", "/envs", None),
            ("POST", "/files/compose", "{}"),
            ("GET", "/nosuch", None),
        ]
        for method, path, body in calls:
            for wrong in (None, "", "wrong", token[:-1], token + "0", token.upper()):
                status, _, answer = request(method, path, body, EMPTY | self.headers(wrong))
                self.assertEqual((status, answer["code"]), (401, 401), (path, wrong))
        self.assertEqual(request("GET", "/health", headers=self.headers())[0], 204)
        status, _, answer = request("POST", "/process.Process/List", "{}", EMPTY | self.headers(token))
        self.assertEqual(status, 200)

    def test_of_another_sandbox_does_not_fit(self):
        other = self.create()
        status = request("GET", "/envs", headers=self.headers(other._envd_access_token))[0]
        self.assertEqual(status, 401)

    def test_key_is_no_token(self):
        import os
        key = os.environ["E2B_API_KEY"]
        headers = self.headers(key) | {"X-API-KEY": key, "Authorization": f"Bearer {key}"}
        self.assertEqual(request("GET", "/envs", headers=headers)[0], 401)

    def test_does_not_change(self):
        other = Sandbox.connect(self.sandbox.sandbox_id)
        self.assertEqual(other._envd_access_token, self.sandbox._envd_access_token)

    def test_what_the_host_says_to_the_agent_is_for_the_host_alone(self):
        for path in ("/init", "/freeze", "/upgrade", "//init", "/init/", "/%69nit", "/./init"):
            status = request("POST", path, "{}", EMPTY | self.headers(self.sandbox._envd_access_token))[0]
            self.assertEqual(status, 404, path)

    def test_wrong_one_on_files(self):
        path = "/files?path=/etc/hostname"
        for method in ("GET", "POST"):
            status, _, body = request(method, path, headers=self.headers("wrong"))
            self.assertEqual((status, body["message"]), (401, "access token present in header but does not match"))
            status, _, body = request(method, path, headers=self.headers())
            self.assertEqual((status, body["message"]), (401, "missing signature query parameter"))


class SignedUrl(SandboxCase):
    def setUp(self):
        self.sandbox.files.write("signed", "content")

    def test_is_read_without_a_token(self):
        for options in ({}, {"user": "user"}, {"use_signature_expiration": 60}):
            status, _, body = fetch(self.sandbox.download_url("signed", **options))
            self.assertEqual((status, body), (200, b"content"), options)
        self.sandbox.files.write("signed", "root's", user="root")
        self.assertEqual(fetch(self.sandbox.download_url("signed", user="root"))[2], b"root's")

    def test_is_written_without_a_token(self):
        octets = {"Content-Type": "application/octet-stream"}
        for options in ({}, {"use_signature_expiration": 60}):
            url = self.sandbox.upload_url("up", **options)
            self.assertEqual(fetch(url, "POST", b"up", octets)[0], 200)
        self.assertEqual(self.sandbox.files.read("up"), "up")

    def test_expired(self):
        url = self.sandbox.download_url("signed", use_signature_expiration=1)
        time.sleep(2.1)
        status, _, body = fetch(url)
        self.assertEqual((status, body), (401, {"code": 401, "message": "signature is already expired"}))

    def test_is_for_what_was_signed_alone(self):
        down, up = self.sandbox.download_url("signed"), self.sandbox.upload_url("signed")
        octets = {"Content-Type": "application/octet-stream"}
        self.assertEqual(fetch(down.replace("path=signed", "path=other"))[0], 401)
        self.assertEqual(fetch(down + "&username=root")[0], 401)
        self.assertEqual(fetch(down + "&signature_expiration=99999999999")[0], 401)
        self.assertEqual(fetch(down, "POST", b"x", octets)[0], 401)
        self.assertEqual(fetch(up)[0], 401)

    def test_through_the_sandboxes_own_name(self):
        url = self.sandbox.download_url("signed")
        named = {"E2b-Sandbox-Id": self.sandbox.sandbox_id, "E2b-Sandbox-Port": "49983"}
        self.assertEqual(fetch(url, headers=named)[0], 200)
        other = {**named, "E2b-Sandbox-Id": self.create().sandbox_id}
        status, _, body = fetch(url, headers=other)
        self.assertEqual((status, body["message"]), (401, "invalid signature"))

    def test_of_a_sandbox_that_is_gone(self):
        url = self.sandbox.download_url("signed")
        self.sandbox.kill()
        self.assertEqual(fetch(url)[0], 401)


@unittest.skipIf(VERSION >= (2, 60), "it always wants a token")
class WithoutToken(SandboxCase):
    def test_sandbox_that_is_not_secured(self):
        self._sandbox = self.create(secure=False)
        self.assertIsNone(self.sandbox._envd_access_token)
        self.assertEqual(self.run_in("echo open"), "open")
        self.sandbox.files.write("x", "open")
        self.assertEqual(fetch(self.sandbox.download_url("x"), headers={
            "E2b-Sandbox-Id": self.sandbox.sandbox_id, "E2b-Sandbox-Port": "49983"})[2], b"open")
        with self.assertRaises(InvalidArgumentException):
            self.sandbox.download_url("x", use_signature_expiration=5)


if __name__ == "__main__":
    main()
