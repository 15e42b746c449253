"""What a sandbox reaches, and who reaches it."""

from contract import SandboxCase, main


class Network(SandboxCase):
    def links(self, sandbox):
        lines = sandbox.commands.run("cat /proc/net/dev").stdout.splitlines()[2:]
        return [line.split(":")[0].strip() for line in lines]

    def test_all_or_nothing(self):
        self.assertGreater(len(self.links(self.create())), 1)
        for options in ({"allow_internet_access": False}, {"network": {"deny_out": ["0.0.0.0/0"]}}):
            sandbox = self.create(**options)
            self.assertEqual(self.links(sandbox), ["lo"], options)
            self.assertFalse(sandbox.get_info().allow_internet_access)

    def test_loopback_is_always_there(self):
        sandbox = self.create(allow_internet_access=False)
        sandbox.files.write("page", "served")
        sandbox.commands.run("python3 -m http.server -b 127.0.0.1 8000", background=True, timeout=0)
        fetch = "for n in $(seq 100); do curl -sf http://127.0.0.1:8000/page && break; sleep 0.1; done"
        self.assertEqual(sandbox.commands.run(fetch).stdout, "served")

    def test_rules_are_told(self):
        sandbox = self.create(network={"allow_public_traffic": False, "mask_request_host": "localhost:${PORT}"})
        self.assertTrue(sandbox.traffic_access_token)
        told = sandbox.get_info().network
        self.assertEqual((told["allow_public_traffic"], told["mask_request_host"]), (False, "localhost:${PORT}"))
        self.assertIsNone(self.create().traffic_access_token)


if __name__ == "__main__":
    main()
