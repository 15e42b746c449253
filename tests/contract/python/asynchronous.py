"""The asynchronous client: everything once, and many sandboxes at once."""

import asyncio
import unittest
import uuid

from contract import fetch, main
from e2b import (
    AsyncSandbox,
    AuthenticationException,
    CommandExitException,
    InvalidArgumentException,
    NotFoundException,
    SandboxException,
    SandboxQuery,
    SandboxState,
    TimeoutException,
)
from e2b.sandbox.commands.command_handle import PtySize
from e2b.sandbox.filesystem.watch_handle import FilesystemEventType


class AsyncCase(unittest.IsolatedAsyncioTestCase):
    async def create(self, **options):
        options.setdefault("timeout", 120)
        sandbox = await AsyncSandbox.create(**options)
        async def end():
            await sandbox.kill()
        self.addAsyncCleanup(end)
        return sandbox

    async def asyncSetUp(self):
        self.sandbox = await self.create()


async def until(condition, within=15.0):
    async def wait():
        while not await condition():
            await asyncio.sleep(0.02)
    await asyncio.wait_for(wait(), within)


class Lifecycle(AsyncCase):
    async def test_life(self):
        self.assertTrue(await self.sandbox.is_running())
        info = await self.sandbox.get_info()
        self.assertEqual(info.sandbox_id, self.sandbox.sandbox_id)
        await self.sandbox.set_timeout(200)
        self.assertGreater((await self.sandbox.get_info()).end_at, info.end_at)
        other = await AsyncSandbox.connect(self.sandbox.sandbox_id)
        self.assertEqual((await other.commands.run("echo x")).stdout, "x\n")
        self.assertTrue(await self.sandbox.kill())
        self.assertFalse(await self.sandbox.is_running())
        self.assertFalse(await self.sandbox.kill())
        with self.assertRaises(NotFoundException):
            await AsyncSandbox.connect(self.sandbox.sandbox_id)

    async def test_list(self):
        mark = {"mark": uuid.uuid4().hex}
        made = [(await self.create(metadata=mark)).sandbox_id for _ in range(3)]
        pages, found = AsyncSandbox.list(query=SandboxQuery(metadata=mark), limit=2), []
        while pages.has_next:
            found += [each.sandbox_id for each in await pages.next_items()]
        self.assertEqual(found, made[::-1])

    async def test_pause_and_connect(self):
        self.assertTrue(await self.sandbox.pause())
        self.assertFalse(await self.sandbox.pause())
        self.assertEqual((await self.sandbox.get_info()).state, SandboxState.PAUSED)
        await self.sandbox.connect(timeout=60)
        self.assertEqual((await self.sandbox.commands.run("echo up")).stdout, "up\n")

    async def test_request_wakes_it(self):
        sandbox = await self.create(timeout=60, lifecycle={"on_timeout": "pause", "auto_resume": True})
        await sandbox.pause()
        self.assertEqual((await sandbox.commands.run("echo up")).stdout, "up\n")
        self.assertEqual((await sandbox.get_info()).state, SandboxState.RUNNING)

    async def test_metrics(self):
        async def there():
            return await self.sandbox.get_metrics()
        await until(there, within=30)
        (sample, *_) = await AsyncSandbox.get_metrics(self.sandbox.sandbox_id)
        self.assertTrue(0 < sample.mem_used <= sample.mem_total, sample)

    async def test_network(self):
        await self.sandbox.update_network({})
        with self.assertRaisesRegex(SandboxException, "would not be enforced"):
            await self.create(network={"deny_out": ["1.2.3.4"]})
        closed = await self.create(allow_internet_access=False)
        links = (await closed.commands.run("tail -n +3 /proc/net/dev")).stdout.splitlines()
        self.assertEqual([line.split(":")[0].strip() for line in links], ["lo"])

    async def test_what_is_not_built(self):
        for call in (self.sandbox.create_snapshot, self.sandbox.fork):
            with self.assertRaisesRegex(SandboxException, "not built"):
                await call()

    async def test_twenty_at_once(self):
        async def live(number):
            sandbox = await AsyncSandbox.create(timeout=120)
            try:
                await sandbox.files.write("number", str(number))
                said = await asyncio.gather(*(sandbox.commands.run(f"cat number; echo -{n}") for n in range(3)))
                return sandbox.sandbox_id, [each.stdout for each in said]
            finally:
                self.assertTrue(await sandbox.kill())
        lives = await asyncio.gather(*(live(number) for number in range(20)))
        self.assertEqual(len({sandbox for sandbox, _ in lives}), 20)
        for number, (_, said) in enumerate(lives):
            self.assertEqual(said, [f"{number}-{n}\n" for n in range(3)])


class Commands(AsyncCase):
    async def test_run(self):
        pieces = []
        result = await self.sandbox.commands.run("echo out; echo err >&2", on_stdout=pieces.append, on_stderr=pieces.append)
        self.assertEqual((result.stdout, result.stderr, result.exit_code), ("out\n", "err\n", 0))
        self.assertEqual(sorted(pieces), ["err\n", "out\n"])
        with self.assertRaises(CommandExitException) as caught:
            await self.sandbox.commands.run("exit 7")
        self.assertEqual(caught.exception.exit_code, 7)

    async def test_place_users_and_variables(self):
        async def say(command, **options):
            return (await self.sandbox.commands.run(command, **options)).stdout.rstrip("\n")
        self.assertEqual(await say("pwd; id -un"), "/home/user\nuser")
        self.assertEqual(await say("pwd; id -un", user="root", cwd="/tmp"), "/tmp\nroot")
        self.assertEqual(await say("sudo id -u"), "0")
        self.assertEqual(await say("echo $A $E2B_SANDBOX", envs={"A": "given"}), "given true")
        with self.assertRaises(AuthenticationException):
            await self.sandbox.commands.run("true", user="nobodyhere")
        with self.assertRaises(InvalidArgumentException):
            await self.sandbox.commands.run("true", cwd="/nosuch")

    async def test_text_of_any_kind(self):
        text = "aé中🙂" * 100_000
        await self.sandbox.files.write("text", text)
        self.assertEqual((await self.sandbox.commands.run("cat text")).stdout, text)
        result = await self.sandbox.commands.run(r"printf 'a\xff\xfeb\xc3'")
        self.assertEqual(result.stdout, "a\ufffd\ufffdb\ufffd")

    async def test_one_that_is_not_there(self):
        self.assertFalse(await self.sandbox.commands.kill(999_999))
        for call in (self.sandbox.commands.connect(999_999), self.sandbox.commands.send_stdin(999_999, "x")):
            with self.assertRaises(NotFoundException):
                await call

    async def test_background_and_input(self):
        handle = await self.sandbox.commands.run("cat; sleep 0.1; echo end", background=True, stdin=True)
        await self.sandbox.commands.send_stdin(handle.pid, "é")
        self.assertIn(handle.pid, [process.pid for process in await self.sandbox.commands.list()])
        await self.sandbox.commands.close_stdin(handle.pid)
        self.assertEqual((await handle.wait()).stdout, "éend\n")

    async def test_disconnect_and_connect(self):
        first = await self.sandbox.commands.run("read x; echo $x", background=True, stdin=True)
        await first.disconnect()
        second = await self.sandbox.commands.connect(first.pid)
        await self.sandbox.commands.send_stdin(first.pid, "late\n")
        self.assertEqual((await second.wait()).stdout, "late\n")

    async def test_kill(self):
        handle = await self.sandbox.commands.run("sleep 60", background=True)
        self.assertTrue(await handle.kill())
        with self.assertRaises(CommandExitException):
            await handle.wait()

    async def test_time_limit(self):
        with self.assertRaises(TimeoutException):
            await self.sandbox.commands.run("sleep 30", timeout=1)

    async def test_kill_of_the_sandbox_during_a_command(self):
        up = asyncio.Event()
        handle = await self.sandbox.commands.run("echo up; sleep 60", background=True, on_stdout=lambda _: up.set())
        await asyncio.wait_for(up.wait(), 10)
        await self.sandbox.kill()
        with self.assertRaisesRegex(TimeoutException, "killed or reached its end of life"):
            await handle.wait()


class Files(AsyncCase):
    async def test_every_form(self):
        files = self.sandbox.files
        await files.write("text", "aé🙂")
        self.assertEqual(await files.read("text"), "aé🙂")
        self.assertEqual(bytes(await files.read("text", format="bytes")), "aé🙂".encode())
        self.assertEqual(b"".join([piece async for piece in await files.read("text", format="stream")]), "aé🙂".encode())
        await files.write("z", "x" * 100_000, gzip=True)
        self.assertEqual(await files.read("z", gzip=True), "x" * 100_000)
        await files.write_files([{"path": f"many/{n}", "data": str(n)} for n in range(10)])
        self.assertEqual(sorted(entry.name for entry in await files.list("many")), [str(n) for n in range(10)])
        self.assertTrue(await files.make_dir("d"))
        self.assertFalse(await files.make_dir("d"))
        self.assertEqual((await files.rename("text", "d/text")).path, "/home/user/d/text")
        self.assertTrue(await files.exists("d/text"))
        self.assertEqual((await files.get_info("d/text")).size, 7)
        await files.remove("d")
        self.assertFalse(await files.exists("d"))
        with self.assertRaises(NotFoundException):
            await files.read("nosuch")

    async def test_errors(self):
        files = self.sandbox.files
        for call in (files.read("/tmp"), files.write("/tmp", "x"), files.list("/etc/passwd"), files.watch_dir("/etc/passwd", print)):
            with self.assertRaises(InvalidArgumentException):
                await call
        for call in (files.list("nosuch"), files.rename("nosuch", "x"), files.get_info("nosuch"), files.watch_dir("nosuch", print)):
            with self.assertRaises(NotFoundException):
                await call
        with self.assertRaises(AuthenticationException):
            await files.read("x", user="nobodyhere")
        await files.remove("nosuch")

    async def test_signed_urls(self):
        await self.sandbox.files.write("signed", "content")
        down = self.sandbox.download_url("signed", use_signature_expiration=60)
        self.assertEqual((await asyncio.to_thread(fetch, down))[2], b"content")
        up, octets = self.sandbox.upload_url("up"), {"Content-Type": "application/octet-stream"}
        self.assertEqual((await asyncio.to_thread(fetch, up, "POST", b"up", octets))[0], 200)
        self.assertEqual(await self.sandbox.files.read("up"), "up")
        self.assertEqual((await asyncio.to_thread(fetch, down.replace("path=signed", "path=up")))[0], 401)

    async def test_git(self):
        git = self.sandbox.git
        await git.configure_user("Ann", "ann@example.com")
        await git.init("r", initial_branch="main")
        await self.sandbox.files.write("r/file", "one\n")
        await git.add("r")
        await git.commit("r", "first")
        self.assertTrue((await git.status("r")).is_clean)
        await git.init("served.git", bare=True, initial_branch="main")
        daemon = "git daemon --reuseaddr --listen=127.0.0.1 --base-path=/home/user --export-all --enable=receive-pack"
        await self.sandbox.commands.run(daemon, background=True, timeout=0)
        async def listens():
            return ":9418" in (await self.sandbox.commands.run("ss -ltn")).stdout
        await until(listens)
        await git.remote_add("r", "origin", "git://127.0.0.1/served.git")
        await git.push("r", remote="origin", branch="main")
        await git.clone("git://127.0.0.1/served.git", path="copy")
        self.assertEqual(await self.sandbox.files.read("copy/file"), "one\n")

    async def test_watch(self):
        await self.sandbox.files.make_dir("w")
        events = []
        handle = await self.sandbox.files.watch_dir("w", on_event=events.append)
        await self.sandbox.files.write("w/new", "x")
        async def three():
            return len(events) >= 3
        await until(three)
        self.assertEqual([event.type for event in events], [FilesystemEventType.CREATE, FilesystemEventType.CHMOD, FilesystemEventType.WRITE])
        await handle.stop()


class Pty(AsyncCase):
    async def test_terminal(self):
        output = bytearray()
        handle = await self.sandbox.pty.create(PtySize(rows=24, cols=80), on_data=output.extend)
        async def expect(text):
            async def there():
                return text in output
            await until(there)
        await self.sandbox.pty.send_stdin(handle.pid, b"stty size\n")
        await expect(b"24 80")
        await self.sandbox.pty.resize(handle.pid, PtySize(rows=31, cols=99))
        await self.sandbox.pty.send_stdin(handle.pid, b"stty size; exit 3\n")
        await expect(b"31 99")
        with self.assertRaises(CommandExitException) as caught:
            await handle.wait()
        self.assertEqual(caught.exception.exit_code, 3)


if __name__ == "__main__":
    main()
