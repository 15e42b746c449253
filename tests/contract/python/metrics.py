"""What sandboxes use, and what is told of what happened to them."""

import datetime
import json
import unittest

from contract import VERSION, SandboxCase, api, main, until
from e2b import NotFoundException, Sandbox, SandboxException

MIB = 1024 * 1024


class Metrics(SandboxCase):
    def samples(self, fits=lambda sample: True):
        """The samples, once one of them is as wanted."""
        def look():
            samples = self.sandbox.get_metrics()
            return any(fits(sample) for sample in samples) and samples
        return until(look, within=30)

    def test_tell_amounts_and_bounds(self):
        (sample, *_) = self.samples()
        info = self.sandbox.get_info()
        self.assertEqual(sample.cpu_count, info.cpu_count)
        self.assertEqual(sample.mem_total, info.memory_mb * MIB)
        self.assertTrue(0 < sample.mem_used <= sample.mem_total, sample)
        self.assertTrue(0 <= sample.disk_used < sample.disk_total, sample)
        self.assertTrue(0 <= sample.cpu_used_pct <= 100, sample)
        age = datetime.datetime.now(datetime.timezone.utc) - sample.timestamp
        self.assertLess(abs(age.total_seconds()), 60)

    def test_follow_what_it_does(self):
        hold = "import time; held = b'x' * (96 * 1024 * 1024); time.sleep(60)"
        self.sandbox.commands.run(f'python3 -c "{hold}"', background=True, timeout=0)
        self.samples(lambda sample: sample.mem_used > 96 * MIB)
        self.sandbox.commands.run("while :; do :; done", background=True, timeout=0)
        self.samples(lambda sample: sample.cpu_used_pct > 2)
        self.sandbox.commands.run("head -c 16M /dev/urandom > file; sync")
        self.samples(lambda sample: sample.disk_used > 12 * MIB)

    def test_of_a_part_of_its_life(self):
        samples = self.samples()
        times = [sample.timestamp for sample in samples]
        self.assertEqual(times, sorted(times), "the oldest first")
        hour = datetime.timedelta(hours=1)
        start = self.sandbox.get_info().started_at
        self.assertEqual(self.sandbox.get_metrics(start=start - 2 * hour, end=start - hour), [])
        self.assertEqual(self.sandbox.get_metrics(start=start + hour), [])
        within = self.sandbox.get_metrics(start=start - hour, end=start + hour)
        self.assertGreaterEqual(len(within), len(samples))

    def test_by_id_and_of_one_that_is_not_there(self):
        self.samples()
        self.assertTrue(Sandbox.get_metrics(self.sandbox.sandbox_id))
        with self.assertRaises((NotFoundException, SandboxException)):
            Sandbox.get_metrics("nonexistingsandbox")
        self.sandbox.kill()
        with self.assertRaises((NotFoundException, SandboxException)):
            self.sandbox.get_metrics()

    def test_are_kept_while_it_is_paused(self):
        samples = self.samples()
        self.sandbox.pause()
        self.assertGreaterEqual(len(self.sandbox.get_metrics()), len(samples))

    def test_of_many(self):
        made = [self.create().sandbox_id for _ in range(2)]
        def look():
            status, _, told = api("GET", f"/sandboxes/metrics?sandbox_ids={','.join(made)},nosuch")
            self.assertEqual(status, 200, told)
            return len(told["sandboxes"]) == 2 and told["sandboxes"]
        told = until(look, within=30)
        self.assertEqual(sorted(told), sorted(made))
        self.assertGreater(told[made[0]]["memTotal"], told[made[0]]["memUsed"])
        for wrong in ("", "?sandbox_ids=", "?sandbox_ids=NO/"):
            self.assertEqual(api("GET", f"/sandboxes/metrics{wrong}")[0], 400, wrong)


class Logs(SandboxCase):
    """No client but the command line asks for them."""

    def entries(self, query=""):
        status, _, told = api("GET", f"/v2/sandboxes/{self.sandbox.sandbox_id}/logs{query}")
        self.assertEqual(status, 200, told)
        return told["logs"]

    def test_tell_its_life_and_outlive_it(self):
        self.sandbox.pause()
        self.sandbox.connect()
        self.sandbox.kill()
        messages = [entry["message"] for entry in self.entries()]
        for text in ("created", "paused", "resumed", "killed"):
            self.assertTrue(any(text in message for message in messages), (text, messages))

    def test_in_parts(self):
        self.sandbox.set_timeout(100)
        self.sandbox.pause()
        all = self.entries()
        self.assertEqual(self.entries("?direction=backward"), all[::-1])
        self.assertEqual(self.entries("?limit=1"), all[:1])
        self.assertEqual(self.entries("?level=error"), [])
        (paused,) = self.entries("?search=paused")
        self.assertTrue(paused["message"].startswith("sandbox paused"), paused)
        at = datetime.datetime.fromisoformat(all[-1]["timestamp"].replace("Z", "+00:00"))
        self.assertIn(all[-1], self.entries(f"?cursor={int(at.timestamp() * 1000)}"))
        self.assertEqual(self.entries("?cursor=99999999999999"), [])
        for wrong in ("level=loud", "direction=up", "limit=-1", "cursor=x", "limit=1001"):
            status, _, told = api("GET", f"/v2/sandboxes/{self.sandbox.sandbox_id}/logs?{wrong}")
            self.assertEqual((status, told["code"]), (400, 400), wrong)
            self.assertIn(wrong.split("=")[0], told["message"])

    def test_of_the_first_generation_are_lines_of_json(self):
        status, _, told = api("GET", f"/sandboxes/{self.sandbox.sandbox_id}/logs")
        self.assertEqual(status, 200)
        line = json.loads(told["logs"][0]["line"])
        self.assertEqual((line["level"], line["message"]), ("info", told["logEntries"][0]["message"]))
        self.assertTrue(line["logger"])

    def test_of_one_that_is_not_there(self):
        for path in ("/sandboxes/nonexistingsandbox/logs", "/v2/sandboxes/nonexistingsandbox/logs"):
            status, _, told = api("GET", path)
            self.assertEqual((status, told["code"]), (404, 404))


if __name__ == "__main__":
    main()
