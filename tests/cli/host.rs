//! What is wrong with the host is told with what to do.

use soulbox_tests::Soulbox;

/// A small file system at a directory, gone when this is dropped.
struct Small(std::path::PathBuf);

impl Small {
    fn at(path: &std::path::Path) -> Self {
        use rustix::mount::{MountFlags, mount};
        std::fs::create_dir(path).expect("a directory");
        let options = c"size=16k";
        mount("tmpfs", path, "tmpfs", MountFlags::empty(), Some(options)).expect("a mount");
        Self(path.to_owned())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_of_the_host_is_told() {
    let soulbox = Soulbox::new();
    let small = Small::at(&soulbox.home().join("small"));
    let mut command = soulbox.command(["run", "-c", "print(1)"]);
    let child = command
        .env("SOULBOX_DATA_DIR", small.0.join("data"))
        .spawn()
        .expect("starts");
    let ended = soulbox_tests::end(child).expect_code(243);
    ended.expect_stderr(&["No space left", "free disk space"]);
}
