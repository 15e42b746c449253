"""Servers in a sandbox, reached by the host names that the client makes."""

import http.client
import os
import ssl

import names
from contract import SandboxCase, main, until


class Host(SandboxCase):
    def serve(self, **options):
        """A sandbox with a server on port 8000. Gives it and the host name of that port."""
        sandbox = self.create(**options)
        sandbox.files.write("page", "served")
        sandbox.commands.run("python3 -m http.server 8000", background=True, timeout=0)
        host = sandbox.get_host(8000)
        token = {"e2b-traffic-access-token": sandbox.traffic_access_token} if sandbox.traffic_access_token else {}
        until(lambda: self.fetch(host, token)[0] == 200)
        return sandbox, host

    def fetch(self, host, headers=None):
        connection = http.client.HTTPSConnection(host, timeout=20, context=ssl.create_default_context())
        connection.request("GET", "/page", headers=headers or {})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body

    def test_names_the_port_and_the_sandbox(self):
        sandbox, host = self.serve()
        self.assertEqual(host, f"8000-{sandbox.sandbox_id}.{os.environ['E2B_DOMAIN']}")
        self.assertEqual(self.fetch(host), (200, "served"))
        status, body = self.fetch(sandbox.get_host(8001))
        self.assertEqual(status, 502)
        self.assertIn("port is not open", body)
        sandbox.kill()
        status, body = self.fetch(host)
        self.assertEqual(status, 502)
        self.assertIn("was not found", body)

    def test_a_request_wakes_the_sandbox(self):
        sandbox, host = self.serve(timeout=300, lifecycle={"on_timeout": "pause", "auto_resume": True})
        sandbox.pause()
        self.assertEqual(self.fetch(host), (200, "served"))
        self.assertEqual(sandbox.get_info().state.value, "running")

    def test_a_sandbox_that_is_paused_stays_so(self):
        sandbox, host = self.serve()
        sandbox.pause()
        self.assertEqual(self.fetch(host)[0], 502)
        sandbox.connect()
        self.assertEqual(self.fetch(host), (200, "served"))

    def test_ports_that_are_not_public(self):
        sandbox, host = self.serve(network={"allow_public_traffic": False})
        self.assertEqual(self.fetch(host)[0], 403)
        self.assertEqual(self.fetch(host, {"e2b-traffic-access-token": "wrong"})[0], 403)
        token = {"e2b-traffic-access-token": sandbox.traffic_access_token}
        self.assertEqual(self.fetch(host, token), (200, "served"))


if __name__ == "__main__":
    main()
