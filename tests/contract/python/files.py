"""Files: every way to read and write them, what is told about them, and what cannot be done."""

import io
import os
import unittest

from contract import VERSION, SandboxCase, api, fetch, main
from e2b import InvalidArgumentException, NotFoundException, SandboxException
from e2b.exceptions import AuthenticationException, NotEnoughSpaceException
from e2b.sandbox.filesystem.filesystem import FileType

HOME = "/home/user"


class ReadAndWrite(SandboxCase):
    def test_text(self):
        text = "aé中🙂\n\r\n\0 end"
        info = self.sandbox.files.write("text.txt", text)
        self.assertEqual((info.path, info.name, info.type), (f"{HOME}/text.txt", "text.txt", FileType.FILE))
        self.assertEqual(self.sandbox.files.read("text.txt"), text)

    def test_bytes(self):
        content = bytes(range(256)) * 5000
        self.sandbox.files.write("bytes", content)
        self.assertEqual(bytes(self.sandbox.files.read("bytes", format="bytes")), content)
        self.assertEqual(self.run_in("stat -c '%s %a %U %G' bytes"), f"{len(content)} 644 user user")

    def test_streams(self):
        content = os.urandom(3 * 1024 * 1024)
        self.sandbox.files.write("stream", io.BytesIO(content))
        self.assertEqual(b"".join(self.sandbox.files.read("stream", format="stream")), content)

    @unittest.skipIf(VERSION < (2, 60), "it takes no pieces")
    def test_pieces(self):
        self.sandbox.files.write("pieces", (b"x" * 1000 for _ in range(100)))
        self.assertEqual(self.sandbox.files.get_info("pieces").size, 100_000)

    def test_nothing(self):
        self.sandbox.files.write("empty", "")
        self.assertEqual(self.sandbox.files.read("empty"), "")
        self.assertEqual(bytes(self.sandbox.files.read("empty", format="bytes")), b"")
        self.assertEqual(b"".join(self.sandbox.files.read("empty", format="stream")), b"")
        self.assertEqual(self.sandbox.files.get_info("empty").size, 0)

    def test_compressed(self):
        text = "much of the same " * 100_000
        self.sandbox.files.write("z", text, gzip=True)
        self.assertEqual(self.sandbox.files.read("z", gzip=True), text)
        self.assertEqual(self.sandbox.files.get_info("z").size, len(text))

    def test_as_octets(self):
        self.sandbox.files.write("octets", "plain", use_octet_stream=True)
        self.assertEqual(self.sandbox.files.read("octets"), "plain")

    def test_many_at_once(self):
        files = [{"path": f"many/{n % 7}/é {n}.txt", "data": f"{n}" * 100} for n in range(100)]
        infos = self.sandbox.files.write_files(files)
        self.assertEqual([info.path for info in infos], [f"{HOME}/{file['path']}" for file in files])
        for file in files[::9]:
            self.assertEqual(self.sandbox.files.read(file["path"]), file["data"])
        self.assertEqual(self.sandbox.files.write_files([]), [])

    def test_again(self):
        self.sandbox.files.write("again", "a long text")
        self.sandbox.files.write("again", "short")
        self.assertEqual(self.sandbox.files.read("again"), "short")

    def test_below_directories_that_are_not_there(self):
        self.sandbox.files.write("a/b/c/file", "x")
        self.assertEqual(self.run_in("stat -c '%a %U' a a/b a/b/c"), "755 user\n755 user\n755 user")

    def test_files_without_a_size(self):
        boot = "/proc/sys/kernel/random/boot_id"
        self.assertRegex(self.sandbox.files.read(boot), "^[0-9a-f-]{36}\n$")
        self.assertIn(b"MemTotal", bytes(self.sandbox.files.read("/proc/meminfo", format="bytes", gzip=True)))

    def test_as_root(self):
        self.sandbox.files.write("/etc/mine", "x", user="root")
        self.assertEqual(self.run_in("stat -c '%U %a' /etc/mine"), "root 644")
        self.assertEqual(self.sandbox.files.write("mine", "x", user="root").path, "/root/mine")
        self.assertEqual(self.sandbox.files.read("mine", user="root"), "x")

    def test_paths(self):
        self.sandbox.files.write("~/tilde", "1")
        self.sandbox.files.write("./x/../dots", "2")
        self.sandbox.files.write(f"{HOME}//slashes", "3")
        self.assertEqual(self.run_in("cat tilde dots slashes"), "123")
        odd = "a b/ä%20+&=#?;'\"\\.txt"
        self.assertEqual(self.sandbox.files.write(odd, "odd").path, f"{HOME}/{odd}")
        self.assertEqual(self.sandbox.files.read(odd), "odd")


class Metadata(SandboxCase):
    def test_is_kept_with_the_file(self):
        info = self.sandbox.files.write("noted", "x", metadata={"Author": "ann", "n": "1"})
        self.assertEqual(info.metadata, {"author": "ann", "n": "1"})
        self.assertEqual(self.sandbox.files.get_info("noted").metadata, {"author": "ann", "n": "1"})
        (listed,) = self.sandbox.files.list(".")[-1:]
        self.assertEqual(listed.name, "noted")
        self.assertEqual(self.sandbox.files.rename("noted", "moved").metadata, {"author": "ann", "n": "1"})

    def test_is_replaced_and_cleared(self):
        self.sandbox.files.write("noted", "x", metadata={"a": "1"})
        self.sandbox.files.write("noted", "x", metadata={"b": "2"})
        self.assertEqual(self.sandbox.files.get_info("noted").metadata, {"b": "2"})
        self.sandbox.files.write("noted", "x")
        self.assertFalse(self.sandbox.files.get_info("noted").metadata)

    def test_of_many(self):
        files = [{"path": f"n{n}", "data": "x"} for n in range(3)]
        self.sandbox.files.write_files(files, metadata={"k": "v"})
        for file in files:
            self.assertEqual(self.sandbox.files.get_info(file["path"]).metadata, {"k": "v"})

    def test_that_is_too_long(self):
        with self.assertRaises((InvalidArgumentException, SandboxException)):
            self.sandbox.files.write("noted", "x", metadata={"a": "x" * 5000})


class Missing(SandboxCase):
    def test_file(self):
        for call in (self.sandbox.files.read, self.sandbox.files.list, self.sandbox.files.get_info):
            with self.assertRaises(NotFoundException):
                call("nosuch")
        with self.assertRaises(NotFoundException):
            self.sandbox.files.rename("nosuch", "other")
        with self.assertRaises(NotFoundException):
            self.sandbox.files.read("nosuch", format="stream")
        self.assertFalse(self.sandbox.files.exists("nosuch"))
        self.sandbox.files.remove("nosuch")

    def test_user(self):
        with self.assertRaises(AuthenticationException):
            self.sandbox.files.read("x", user="nobodyhere")
        with self.assertRaises(AuthenticationException):
            self.sandbox.files.write("x", "x", user="nobodyhere")
        with self.assertRaises(AuthenticationException):
            self.sandbox.files.list("/", user="nobodyhere")


class WrongKind(SandboxCase):
    def test_directory_where_a_file_is_wanted(self):
        with self.assertRaises(InvalidArgumentException):
            self.sandbox.files.read("/tmp")
        with self.assertRaises(InvalidArgumentException):
            self.sandbox.files.write("/tmp", "x")

    def test_file_where_a_directory_is_wanted(self):
        self.sandbox.files.write("file", "x")
        for call in (self.sandbox.files.list, self.sandbox.files.make_dir, self.sandbox.files.watch_dir):
            with self.assertRaises(InvalidArgumentException):
                call("file")

    def test_no_space(self):
        with self.assertRaises((NotEnoughSpaceException, SandboxException)) as caught:
            self.sandbox.files.write("/dev/full", "x", user="root")
        self.assertNotIn("500", str(caught.exception))


class Directories(SandboxCase):
    def test_are_made_once(self):
        self.assertTrue(self.sandbox.files.make_dir("made/deep"))
        self.assertFalse(self.sandbox.files.make_dir("made/deep"))
        self.assertEqual(self.run_in("stat -c '%U %a' made made/deep"), "user 755\nuser 755")

    def test_are_listed_as_deep_as_asked_for(self):
        for path in ("d/file1.txt", "d/sub1/file", "d/sub1/deep/x", "d/sub2/y"):
            self.sandbox.files.write(path, "x")
        names = lambda depth: [entry.path.removeprefix(f"{HOME}/d/") for entry in self.sandbox.files.list("d", depth=depth)]
        self.assertEqual(names(1), ["file1.txt", "sub1", "sub2"])
        self.assertEqual(names(2), ["file1.txt", "sub1", "sub1/deep", "sub1/file", "sub2", "sub2/y"])
        self.assertEqual(names(9), ["file1.txt", "sub1", "sub1/deep", "sub1/deep/x", "sub1/file", "sub2", "sub2/y"])
        self.assertEqual(names(None), names(1))
        with self.assertRaises(InvalidArgumentException):
            self.sandbox.files.list("d", depth=0)

    def test_that_are_empty(self):
        self.sandbox.files.make_dir("empty")
        self.assertEqual(self.sandbox.files.list("empty"), [])

    def test_are_removed_with_what_they_hold(self):
        self.sandbox.files.write("gone/a/b", "x")
        self.sandbox.files.remove("gone")
        self.assertFalse(self.sandbox.files.exists("gone"))

    def test_with_thousands_of_files(self):
        self.sandbox.commands.run("mkdir t && cd t && seq 3000 | xargs touch")
        self.assertEqual(len(self.sandbox.files.list("t")), 3000)


class Entries(SandboxCase):
    def test_of_a_file(self):
        self.sandbox.files.write("entry", "12345")
        self.sandbox.commands.run("chmod 750 entry; touch -d 2001-02-03T04:05:06Z entry")
        entry = self.sandbox.files.get_info("entry")
        self.assertEqual((entry.name, entry.path, entry.type), ("entry", f"{HOME}/entry", FileType.FILE))
        self.assertEqual((entry.size, entry.mode, entry.permissions), (5, 0o750, "-rwxr-x---"))
        self.assertEqual((entry.owner, entry.group, entry.symlink_target), ("user", "user", None))
        self.assertEqual(entry.modified_time.timestamp(), 981173106)

    def test_of_a_directory(self):
        self.sandbox.files.make_dir("entry")
        entry = self.sandbox.files.get_info("entry")
        self.assertEqual((entry.type, entry.permissions), (FileType.DIR, "drwxr-xr-x"))
        self.assertEqual(self.sandbox.files.get_info("/etc").owner, "root")

    def test_of_a_link(self):
        self.sandbox.files.write("target", "x")
        self.sandbox.commands.run("ln -s target link; ln -s /nosuch broken; chown -h 12345 link || true")
        entry = self.sandbox.files.get_info("link")
        self.assertEqual((entry.type, entry.symlink_target), (FileType.FILE, f"{HOME}/target"))
        self.assertEqual(self.sandbox.files.get_info("broken").symlink_target, f"{HOME}/broken")
        self.assertTrue(self.sandbox.files.exists("link"))

    def test_of_an_unknown_owner(self):
        self.sandbox.commands.run("touch x; chown 4321:4321 x", user="root", cwd=HOME)
        self.assertEqual(self.sandbox.files.get_info("x").owner, "4321")


class Rename(SandboxCase):
    def test_of_a_file(self):
        self.sandbox.files.write("old", "x")
        entry = self.sandbox.files.rename("old", "new/place")
        self.assertEqual((entry.name, entry.path), ("place", f"{HOME}/new/place"))
        self.assertFalse(self.sandbox.files.exists("old"))
        self.assertEqual(self.sandbox.files.read("new/place"), "x")

    def test_of_a_directory(self):
        self.sandbox.files.write("old/x", "x")
        self.assertEqual(self.sandbox.files.rename("old", "new").type, FileType.DIR)
        self.assertEqual(self.sandbox.files.read("new/x"), "x")

    def test_over_a_file(self):
        self.sandbox.files.write("one", "1")
        self.sandbox.files.write("two", "2")
        self.sandbox.files.rename("one", "two")
        self.assertEqual(self.sandbox.files.read("two"), "1")


class Url(SandboxCase):
    """What a browser or another program does with the URL of a file."""

    def test_parts_of_a_file(self):
        self.sandbox.files.write("part", "0123456789")
        url = self.sandbox.download_url("part")
        status, headers, body = fetch(url, headers={"Range": "bytes=2-4"})
        self.assertEqual((status, body, headers["Content-Range"]), (206, b"234", "bytes 2-4/10"))
        self.assertEqual(fetch(url, headers={"Range": "bytes=90-"})[0], 416)

    def test_name_and_type(self):
        self.sandbox.files.write("page ä.html", "<p>")
        status, headers, _ = fetch(self.sandbox.download_url("page ä.html"))
        self.assertEqual(status, 200)
        self.assertIn("text/html", headers["Content-Type"])
        self.assertTrue(headers["Content-Disposition"].startswith("inline; filename"))
        self.assertIn("Accept-Encoding", headers["Vary"])

    def test_head(self):
        self.sandbox.files.write("x", "12345")
        status, headers, body = fetch(self.sandbox.download_url("x"), "HEAD")
        self.assertEqual((status, headers["Content-Length"], body), (200, "5", b""))

    def test_compressed_only_if_asked_for(self):
        self.sandbox.files.write("x", "12345" * 1000)
        url = self.sandbox.download_url("x")
        for accepted, encoding in (("gzip", "gzip"), ("*", None), ("identity", None), ("gzip;q=0", None), ("gzip, deflate", None)):
            _, headers, _ = fetch(url, headers={"Accept-Encoding": accepted})
            self.assertEqual(headers["Content-Encoding"], encoding, accepted)
        self.assertEqual(fetch(url, headers={"Accept-Encoding": "identity;q=0, br"})[0], 406)

    def test_missing_file(self):
        status, _, body = fetch(self.sandbox.download_url("nosuch"))
        self.assertEqual((status, body["code"], body["message"]), (404, 404, f"path '{HOME}/nosuch' does not exist"))

    def test_upload(self):
        form = (
            b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\nignored\r\n'
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.txt"\r\n\r\nform\r\n--b--\r\n'
        )
        multipart = {"Content-Type": "multipart/form-data; boundary=b"}
        status, _, body = fetch(self.sandbox.upload_url("up/x"), "POST", form, multipart)
        self.assertEqual((status, body[0]["path"], body[0]["name"], body[0]["type"]), (200, f"{HOME}/up/x", "x", "file"))
        self.assertEqual(self.sandbox.files.read("up/x"), "form")
        octets = {"Content-Type": "application/octet-stream"}
        self.assertEqual(fetch(self.sandbox.upload_url("up/y"), "POST", b"octets", octets)[0], 200)
        self.assertEqual(self.sandbox.files.read("up/y"), "octets")
        self.assertEqual(fetch(self.sandbox.upload_url("up/z"), "POST", b"x", {"Content-Type": "text/plain"})[0], 400)
        strange = {**octets, "Content-Encoding": "br"}
        self.assertEqual(fetch(self.sandbox.upload_url("up/z"), "POST", b"x", strange)[0], 400)
        broken = {**octets, "Content-Encoding": "gzip"}
        self.assertEqual(fetch(self.sandbox.upload_url("up/z"), "POST", b"no gzip", broken)[0], 400)
        self.assertEqual(fetch(self.sandbox.upload_url("up/z"), "POST", b"no form", multipart)[0], 400)


if __name__ == "__main__":
    main()
