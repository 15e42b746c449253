//! What is wrong with the host is told with what to do.

use soulbox_tests::Soulbox;
use std::os::unix::process::CommandExt;

#[test]
fn without_root_it_says_so() {
    let soulbox = Soulbox::new();
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(soulbox.home(), everybody).expect("mode");
    // The program itself must be readable by others than root.
    let copy = soulbox.home().join("soulbox");
    std::fs::copy(soulbox_tests::program(), &copy).expect("a copy");
    let run = |arguments: &[&str]| {
        let command = soulbox.command(arguments);
        #[allow(clippy::disallowed_methods)] // a black-box test starts the program
        let mut other = std::process::Command::new(&copy);
        other
            .args(arguments)
            .env_clear()
            .current_dir(soulbox.home())
            .uid(65534)
            .gid(65534);
        other.stdin(std::process::Stdio::null());
        for (name, value) in command.get_envs() {
            other.envs(value.map(|value| (name, value)));
        }
        let output = other.output().expect("it starts");
        (
            output.status.code(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    let (code, told) = run(&["run", "-c", "print(1)"]);
    assert_eq!(code, Some(242), "{told}");
    assert!(told.contains("sudo"), "{told}");
    let (code, told) = run(&["doctor"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.contains("runs as user 65534") && told.contains("cannot work"),
        "{told}"
    );
}

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
