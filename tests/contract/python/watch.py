"""Watching directories: which events come, and in which order."""

import unittest

from contract import VERSION, SandboxCase, main, until
from e2b import InvalidArgumentException, NotFoundException
from e2b.sandbox.filesystem.watch_handle import FilesystemEventType

CREATE, WRITE, CHMOD = FilesystemEventType.CREATE, FilesystemEventType.WRITE, FilesystemEventType.CHMOD
REMOVE, RENAME = FilesystemEventType.REMOVE, FilesystemEventType.RENAME


class Watch(SandboxCase):
    def setUp(self):
        self.sandbox.files.make_dir("w")

    def watch(self, **options):
        handle = self.sandbox.files.watch_dir("w", **options)
        self.addCleanup(lambda: self.sandbox.is_running() and handle.stop())
        return handle

    def events(self, handle):
        return [(event.name, event.type) for event in handle.get_new_events()]

    def test_new_file_is_three_events_at_once(self):
        handle = self.watch()
        self.sandbox.files.write("w/new", "x")
        self.assertEqual(self.events(handle), [("new", CREATE), ("new", CHMOD), ("new", WRITE)])
        self.assertEqual(self.events(handle), [])

    def test_write_to_a_file_that_is_there(self):
        self.sandbox.files.write("w/old", "x")
        handle = self.watch()
        self.sandbox.files.write("w/old", "y")
        types = [kind for _, kind in self.events(handle)]
        self.assertIn(WRITE, types)
        self.assertNotIn(CREATE, types)

    def test_reading_is_no_event(self):
        self.sandbox.files.write("w/old", "x")
        handle = self.watch()
        self.sandbox.files.read("w/old")
        self.sandbox.commands.run("cat w/old; ls w")
        self.assertEqual(self.events(handle), [])

    def test_rename_and_removal(self):
        self.sandbox.files.write("w/a", "x")
        handle = self.watch()
        self.sandbox.files.rename("w/a", "w/b")
        self.sandbox.files.remove("w/b")
        self.assertEqual(self.events(handle), [("a", RENAME), ("b", CREATE), ("b", REMOVE)])

    def test_change_of_mode_and_directories(self):
        self.sandbox.files.write("w/a", "x")
        handle = self.watch()
        self.sandbox.commands.run("chmod 600 w/a; mkdir w/d; rmdir w/d")
        self.assertEqual(self.events(handle), [("a", CHMOD), ("d", CREATE), ("d", REMOVE)])

    def test_what_is_below_counts_only_if_asked_for(self):
        self.sandbox.files.make_dir("w/sub")
        handle = self.watch()
        self.sandbox.files.write("w/sub/x", "x")
        self.assertEqual(self.events(handle), [])

    def test_recursive(self):
        self.sandbox.files.make_dir("w/sub")
        handle = self.watch(recursive=True)
        self.sandbox.files.write("w/sub/x", "x")
        self.assertIn(("sub/x", WRITE), self.events(handle))

    def test_recursive_with_a_directory_made_later(self):
        handle = self.watch(recursive=True)
        self.sandbox.files.make_dir("w/later/deep")
        self.sandbox.files.write("w/later/deep/x", "x")
        seen = []
        until(lambda: seen.extend(self.events(handle)) or ("later/deep/x", WRITE) in seen)
        self.assertIn(("later", CREATE), seen)

    @unittest.skipIf(VERSION < (2, 40), "its events have no entries")
    def test_entries(self):
        handle = self.watch(include_entry=True)
        self.sandbox.files.write("w/new", "12345")
        self.sandbox.files.remove("w/new")
        events = handle.get_new_events()
        self.assertEqual([event.type for event in events], [CREATE, CHMOD, WRITE, REMOVE])
        self.assertIsNone(events[3].entry)
        self.sandbox.files.write("w/other", "12345")
        entry = handle.get_new_events()[2].entry
        self.assertEqual((entry.path, entry.size), ("/home/user/w/other", 5))

    def test_stop(self):
        handle = self.sandbox.files.watch_dir("w")
        handle.stop()
        self.sandbox.files.write("w/x", "x")
        with self.assertRaises(Exception):
            handle.get_new_events()

    def test_what_cannot_be_watched(self):
        with self.assertRaises(NotFoundException):
            self.sandbox.files.watch_dir("nosuch")
        self.sandbox.files.write("file", "x")
        with self.assertRaises(InvalidArgumentException):
            self.sandbox.files.watch_dir("file")


if __name__ == "__main__":
    main()
