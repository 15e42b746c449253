"""The client's helpers for git, against a `git daemon` in the sandbox itself."""

from contract import SandboxCase, main, until

DAEMON = "git daemon --reuseaddr --listen=127.0.0.1 --base-path=/home/user/served --export-all --enable=receive-pack"


class Git(SandboxCase):
    def setUp(self):
        self.git = self.sandbox.git
        self.git.configure_user("Ann", "ann@example.com")

    def repository(self, path="r"):
        self.git.init(path, initial_branch="main")
        self.sandbox.files.write(f"{path}/file", "one\n")
        self.git.add(path)
        self.git.commit(path, "first")
        return path

    def serve(self):
        self.git.init("served/r.git", bare=True, initial_branch="main")
        self.sandbox.commands.run(DAEMON, background=True, timeout=0)
        until(lambda: ":9418" in self.run_in("ss -ltn"))
        return "git://127.0.0.1/r.git"

    def test_status_of_changes(self):
        self.repository()
        self.assertTrue(self.git.status("r").is_clean)
        self.sandbox.files.write("r/file", "two\n")
        self.sandbox.files.write("r/added", "x")
        status = self.git.status("r")
        self.assertEqual(status.current_branch, "main")
        self.assertEqual({each.name: each.status for each in status.file_status}, {"file": "modified", "added": "untracked"})
        self.git.add("r", files=["added"])
        self.assertEqual(self.git.status("r").staged_count, 1)
        self.git.reset("r", mode="hard")
        self.assertEqual(self.sandbox.files.read("r/file"), "one\n")

    def test_restore(self):
        self.repository()
        self.sandbox.files.write("r/file", "two\n")
        self.git.restore("r", ["file"])
        self.assertTrue(self.git.status("r").is_clean)

    def test_branches(self):
        self.repository()
        self.git.create_branch("r", "side")
        branches = self.git.branches("r")
        self.assertEqual((sorted(branches.branches), branches.current_branch), (["main", "side"], "side"))
        self.git.checkout_branch("r", "main")
        self.git.delete_branch("r", "side")
        self.assertEqual(self.git.branches("r").branches, ["main"])

    def test_config(self):
        self.assertEqual(self.git.get_config("user.name"), "Ann")
        self.repository()
        self.git.set_config("core.editor", "true", scope="local", path="r")
        self.assertEqual(self.git.get_config("core.editor", scope="local", path="r"), "true")

    def test_password_that_is_kept(self):
        self.git.dangerously_authenticate("ann", "s3cret", host="box.example", protocol="https")
        told = self.run_in("printf 'protocol=https\nhost=box.example\n\n' | git credential fill")
        self.assertIn("username=ann\npassword=s3cret", told)

    def test_push_clone_and_pull(self):
        url = self.serve()
        self.repository()
        self.git.remote_add("r", "origin", url)
        self.assertEqual(self.git.remote_get("r", "origin"), url)
        self.git.push("r", remote="origin", branch="main")
        self.git.clone(url, path="copy")
        self.assertEqual(self.sandbox.files.read("copy/file"), "one\n")
        self.sandbox.files.write("copy/file", "two\n")
        self.git.add("copy")
        self.git.commit("copy", "second", author_name="Bob", author_email="bob@example.com")
        self.git.push("copy")
        self.assertEqual(self.git.status("copy").ahead, 0)
        self.git.pull("r")
        self.assertEqual(self.sandbox.files.read("r/file"), "two\n")
        self.assertEqual(self.run_in("git -C r log -1 --format=%an"), "Bob")

    def test_shallow_clone(self):
        url = self.serve()
        self.repository()
        for number in range(3):
            self.git.commit("r", f"more {number}", allow_empty=True)
        self.git.remote_add("r", "origin", url)
        self.git.push("r", remote="origin", branch="main")
        self.git.clone(url, path="shallow", branch="main", depth=1)
        self.assertEqual(self.run_in("git -C shallow rev-list --count HEAD"), "1")


if __name__ == "__main__":
    main()
