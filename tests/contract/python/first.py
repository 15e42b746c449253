"""The first generation of the client, which knows no URL but `https://<port>-<id>.<domain>`: what older applications
do with it."""

import unittest
import uuid

import names
from e2b import CommandExitException, NotFoundException, Sandbox, SandboxException
from e2b.sandbox.commands.command_handle import PtySize
from e2b.sandbox_sync.sandbox_api import SandboxQuery


class First(unittest.TestCase):
    def create(self, **options):
        sandbox = Sandbox(timeout=120, **options)
        self.addCleanup(sandbox.kill)
        return sandbox

    def test_life(self):
        mark = {"mark": uuid.uuid4().hex, "a b": "c&d"}
        sandbox = self.create(metadata=mark, envs={"GIVEN": "yes"})
        self.assertTrue(sandbox.is_running())
        (listed,) = Sandbox.list(query=SandboxQuery(metadata=mark))
        self.assertEqual((listed.sandbox_id, listed.metadata), (sandbox.sandbox_id, mark))
        sandbox.set_timeout(300)
        other = Sandbox.connect(sandbox.sandbox_id)
        self.assertEqual(other.commands.run("echo $GIVEN").stdout, "yes\n")
        sandbox.kill()
        self.assertFalse(sandbox.is_running())
        with self.assertRaisesRegex(SandboxException, "was not found"):
            Sandbox.connect(sandbox.sandbox_id)

    def test_commands(self):
        sandbox = self.create()
        result = sandbox.commands.run("echo out; echo err >&2; id -un")
        self.assertEqual((result.stdout, result.stderr), ("out\nuser\n", "err\n"))
        with self.assertRaises(CommandExitException):
            sandbox.commands.run("exit 7", user="root")
        handle = sandbox.commands.run("read x; echo $x", background=True)
        self.assertIn(handle.pid, [process.pid for process in sandbox.commands.list()])
        sandbox.commands.send_stdin(handle.pid, "typed\n")
        self.assertEqual(handle.wait().stdout, "typed\n")

    def test_files(self):
        for secure in (False, True):
            files = self.create(secure=secure).files
            files.write("text", "aé🙂")
            self.assertEqual(files.read("text"), "aé🙂")
            files.write([{"path": f"many/{n}", "data": str(n)} for n in range(5)])
            self.assertEqual([entry.name for entry in files.list("many")], list("01234"))
            watch = files.watch_dir("many")
            files.rename("many/1", "many/x")
            self.assertTrue(watch.get_new_events())
            files.remove("many")
            self.assertFalse(files.exists("many"))
            with self.assertRaises(NotFoundException):
                files.read("nosuch")

    def test_terminal(self):
        sandbox = self.create()
        output = bytearray()
        handle = sandbox.pty.create(PtySize(rows=24, cols=80))
        sandbox.pty.send_stdin(handle.pid, b"stty size; exit\n")
        handle.wait(on_pty=output.extend)
        self.assertIn(b"24 80", output)


if __name__ == "__main__":
    unittest.main(verbosity=2)
