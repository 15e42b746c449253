"""Sandboxes: made, listed, found, connected to, ended."""

import datetime
import time
import unittest
import uuid

from contract import VERSION, SandboxCase, main, request, until
from e2b import NotFoundException, Sandbox, SandboxException, SandboxQuery, SandboxState
from e2b.exceptions import AuthenticationException


def now():
    return datetime.datetime.now(datetime.timezone.utc)


class Create(SandboxCase):
    def test_runs_and_ends(self):
        sandbox = self.create()
        self.assertRegex(sandbox.sandbox_id, "^[a-z0-9]+$")
        self.assertTrue(sandbox.is_running())
        self.assertTrue(sandbox.kill())
        self.assertFalse(sandbox.is_running())
        self.assertFalse(sandbox.kill(), "it is gone")

    def test_as_a_context(self):
        with Sandbox.create(timeout=60) as sandbox:
            self.assertEqual(sandbox.commands.run("echo in").stdout, "in\n")
        self.assertFalse(sandbox.is_running())

    def test_variables_and_metadata(self):
        sandbox = self.create(metadata={"a": "1", "ä b": "c&d=e"}, envs={"GIVEN": "a b"})
        self.assertEqual(sandbox.get_info().metadata, {"a": "1", "ä b": "c&d=e"})
        self.assertEqual(sandbox.commands.run('echo "$GIVEN"').stdout, "a b\n")

    def test_template_that_is_not_there_is_named(self):
        with self.assertRaisesRegex((NotFoundException, SandboxException), "nosuchtemplate"):
            Sandbox.create("nosuchtemplate")

    def test_time_that_cannot_be(self):
        for timeout in (-1, 10**12):
            with self.assertRaisesRegex(SandboxException, "timeout"):
                Sandbox.create(timeout=timeout)

    def test_wrong_key(self):
        with self.assertRaisesRegex(AuthenticationException, "key"):
            Sandbox.create(api_key="e2b_" + "0" * 40)

    @unittest.skipIf(VERSION < (2, 60), "it has no such keys")
    def test_sent_again_with_its_key_makes_no_other(self):
        key, mark = uuid.uuid4().hex, {"mark": uuid.uuid4().hex}
        made = [self.create(metadata=mark, idempotency_key=key) for _ in range(2)]
        self.assertEqual(made[0].sandbox_id, made[1].sandbox_id)
        self.assertEqual(made[1].commands.run("echo there").stdout, "there\n")
        with self.assertRaisesRegex(SandboxException, "(?i)idempotency"):
            Sandbox.create(metadata={**mark, "other": "1"}, idempotency_key=key)
        self.assertEqual(ids(Sandbox.list(query=SandboxQuery(metadata=mark))), [made[0].sandbox_id])

    def test_what_only_a_cloud_has_is_refused_and_leaves_nothing(self):
        mark = {"mark": uuid.uuid4().hex}
        with self.assertRaisesRegex((NotFoundException, SandboxException), "mcp-gateway"):
            Sandbox.create(metadata=mark, mcp={"browserbase": {}})
        if VERSION >= (2, 60):
            tokens = {"aws": {"audience": "aws", "token_type": "JWT-SVID"}}
            with self.assertRaisesRegex(SandboxException, "iam"):
                Sandbox.create(metadata=mark, iam={"tokens": tokens})
        self.assertEqual(ids(Sandbox.list(query=SandboxQuery(metadata=mark))), [])

    def test_no_internet(self):
        sandbox = self.create(allow_internet_access=False)
        links = sandbox.commands.run("cat /proc/net/dev").stdout.splitlines()[2:]
        self.assertEqual([line.split(":")[0].strip() for line in links], ["lo"])


class Info(SandboxCase):
    def test_tells_what_it_is(self):
        before = now()
        sandbox = self.create(timeout=100)
        info = sandbox.get_info()
        self.assertEqual(info.sandbox_id, sandbox.sandbox_id)
        self.assertEqual(info.state, SandboxState.RUNNING)
        self.assertGreater(info.cpu_count, 0)
        self.assertGreater(info.memory_mb, 0)
        self.assertLess(abs((info.started_at - before).total_seconds()), 10)
        self.assertLess(abs((info.end_at - info.started_at).total_seconds() - 100), 2)
        self.assertEqual(Sandbox.get_info(sandbox.sandbox_id).template_id, info.template_id)

    def test_of_one_that_is_not_there(self):
        for call in (Sandbox.get_info, Sandbox.connect):
            with self.assertRaises(NotFoundException):
                call("nonexistingsandbox")
        with self.assertRaises(NotFoundException):
            Sandbox.set_timeout("nonexistingsandbox", 10)
        self.assertFalse(Sandbox.kill("nonexistingsandbox"))


class Time(SandboxCase):
    def test_is_set_and_may_be_shortened(self):
        sandbox = self.create(timeout=300)
        sandbox.set_timeout(30)
        left = sandbox.get_info().end_at - now()
        self.assertTrue(20 < left.total_seconds() <= 31, left)

    def test_ends_it(self):
        sandbox = self.create(timeout=300)
        sandbox.set_timeout(2)
        began = time.monotonic()
        until(lambda: not sandbox.is_running(), within=6)
        self.assertTrue(1 < time.monotonic() - began < 4)
        self.assertNotIn(sandbox.sandbox_id, ids(Sandbox.list()))
        with self.assertRaises(NotFoundException):
            sandbox.get_info()

    def test_of_nothing_ends_it_at_once(self):
        sandbox = self.create()
        sandbox.set_timeout(0)
        until(lambda: not sandbox.is_running(), within=5)

    def test_is_never_shortened_by_connect(self):
        sandbox = self.create(timeout=300)
        before = sandbox.get_info().end_at
        Sandbox.connect(sandbox.sandbox_id, timeout=10)
        self.assertEqual(sandbox.get_info().end_at, before)
        Sandbox.connect(sandbox.sandbox_id, timeout=600)
        self.assertGreater((sandbox.get_info().end_at - before).total_seconds(), 200)


class Connect(SandboxCase):
    def test_gives_the_same_sandbox(self):
        self.sandbox.files.write("note", "kept")
        other = Sandbox.connect(self.sandbox.sandbox_id)
        self.assertEqual(other.files.read("note"), "kept")
        self.assertEqual(other._envd_access_token, self.sandbox._envd_access_token)
        self.assertEqual(self.sandbox.connect().sandbox_id, other.sandbox_id)

    def test_to_one_that_was_killed(self):
        self.sandbox.kill()
        with self.assertRaises(NotFoundException):
            Sandbox.connect(self.sandbox.sandbox_id)

    def test_with_the_id_of_a_client(self):
        other = Sandbox.connect(f"{self.sandbox.sandbox_id}-deadbeef")
        self.assertEqual(other.commands.run("echo here").stdout, "here\n")


def ids(pages):
    """The ids of all pages."""
    found = []
    while pages.has_next:
        found += [info.sandbox_id for info in pages.next_items()]
    return found


class Listing(SandboxCase):
    def setUp(self):
        self.mark = {"mark": uuid.uuid4().hex}

    def query(self, **more):
        return SandboxQuery(metadata=self.mark, **more)

    def test_newest_first_in_pages(self):
        made = [self.create(metadata=self.mark).sandbox_id for _ in range(3)]
        pages = Sandbox.list(query=self.query(), limit=1)
        found = []
        for last in (False, False, True):
            (info,) = pages.next_items()
            found.append(info.sandbox_id)
            self.assertEqual(pages.has_next, not last)
        self.assertEqual(found, made[::-1])
        with self.assertRaises(Exception):
            pages.next_items()

    @unittest.skipIf(VERSION < (2, 60), "it has no order")
    def test_oldest_first(self):
        made = [self.create(metadata=self.mark).sandbox_id for _ in range(2)]
        self.assertEqual(ids(Sandbox.list(query=self.query(), order="asc")), made)
        self.assertEqual(ids(Sandbox.list(query=self.query(), order="desc")), made[::-1])

    @unittest.skipIf(VERSION < (2, 60), "it does not ask for these")
    def test_by_template_and_start(self):
        first, second = self.create(metadata=self.mark), self.create(metadata=self.mark)
        info = second.get_info()
        found = lambda **more: ids(Sandbox.list(query=self.query(**more)))
        self.assertEqual(found(template=info.template_id), [second.sandbox_id, first.sandbox_id])
        self.assertEqual(found(template="nosuch"), [])
        self.assertEqual(found(started_after=info.started_at), [second.sandbox_id])
        self.assertEqual(found(started_after=now() + datetime.timedelta(hours=1)), [])

    def test_metadata_of_any_letters(self):
        odd = {"a b": "c&d", "=+%": "ä/?#", **self.mark}
        sandbox = self.create(metadata=odd)
        self.create(metadata=self.mark)
        found = ids(Sandbox.list(query=SandboxQuery(metadata=odd)))
        self.assertEqual(found, [sandbox.sandbox_id])
        self.assertEqual(ids(Sandbox.list(query=SandboxQuery(metadata={"a b": "x", **self.mark}))), [])

    def test_by_state(self):
        sandbox = self.create(metadata=self.mark)
        both = [SandboxState.RUNNING, SandboxState.PAUSED]
        for states, found in (([SandboxState.RUNNING], True), ([SandboxState.PAUSED], False), (both, True)):
            listed = ids(Sandbox.list(query=self.query(state=states)))
            self.assertEqual(listed, [sandbox.sandbox_id] if found else [])

    def test_killed_ones_are_gone(self):
        sandbox = self.create(metadata=self.mark)
        sandbox.kill()
        self.assertEqual(ids(Sandbox.list(query=self.query())), [])

    def test_token_that_cannot_be(self):
        with self.assertRaisesRegex(SandboxException, "nextToken"):
            Sandbox.list(next_token="nonsense").next_items()


class Server(unittest.TestCase):
    def test_health(self):
        status, _, body = request("GET", "/health")
        self.assertEqual((status, body["status"]), (200, "ok"))


if __name__ == "__main__":
    main()
