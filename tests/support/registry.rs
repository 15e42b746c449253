//! The registry of images that Debian has, on loopback, filled by `umoci` and `skopeo`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// `me` and `SECRET`, as `htpasswd` writes it.
const USERS: &str = "me:$2y$04$19q/z2Uve372xsE042EhQODKiNZmHB4SaPWVkkVfmikQAKvXE1.tW\n";

/// A registry that wants the password `SECRET` of the user `me`. It ends with this.
pub struct Registry {
    address: String,
    program: Child,
    directory: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

#[allow(clippy::disallowed_methods)] // a black-box test starts programs
fn command(name: &str) -> Command {
    Command::new(name)
}

impl Registry {
    /// Starts one.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let users = directory.path().join("users");
        fs::write(&users, USERS).expect("users");
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"127.0.0.1:0\"}}\n\
             auth: {{htpasswd: {{realm: x, path: {}}}}}\n",
            directory.path().join("data").display(),
            users.display()
        );
        let path = directory.path().join("registry.yml");
        fs::write(&path, config).expect("a configuration");
        let mut program = command("docker-registry")
            .arg("serve")
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry starts");
        let log = program.stderr.take().expect("its log");
        let mut log = BufReader::new(log).lines();
        let address = loop {
            let line = log.next().expect("it listens").expect("a line");
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split('"').next().unwrap_or_default().to_owned();
            }
        };
        // A pipe that nobody reads would stop it.
        std::thread::spawn(move || log.count());
        Self {
            address,
            program,
            directory,
        }
    }

    /// Where it listens: a host and a port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Makes an image of one layer that has what `fill` puts into a directory, and pushes it. Gives
    /// its name. `config` is for `umoci config`.
    ///
    /// # Panics
    /// When a tool fails.
    pub fn push(&self, name: &str, config: &[&str], fill: impl FnOnce(&Path)) -> String {
        let place = self.directory.path().join(name.replace(['/', ':'], "-"));
        let layout = place.join("layout").display().to_string();
        let bundle = place.join("bundle").display().to_string();
        let tagged = format!("{layout}:made");
        fs::create_dir(&place).expect("a directory");
        run("umoci", &["init", "--layout", &layout]);
        run("umoci", &["new", "--image", &tagged]);
        run("umoci", &["unpack", "--image", &tagged, &bundle]);
        fill(&place.join("bundle/rootfs"));
        run("umoci", &["repack", "--image", &tagged, &bundle]);
        let config = [&["config", "--image", &tagged], config].concat();
        run("umoci", &config);
        let image = format!("{}/{name}", self.address);
        let (from, to) = (format!("oci:{tagged}"), format!("docker://{image}"));
        let how = ["--dest-tls-verify=false", "--dest-creds", "me:SECRET"];
        run(
            "skopeo",
            &[&["copy", "-q"], &how[..], &[&from, &to]].concat(),
        );
        image
    }
}

/// Runs a tool to its end.
///
/// # Panics
/// When it fails.
pub fn run(name: &str, arguments: &[&str]) {
    let done = command(name).args(arguments).output().expect("a tool");
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{name} {arguments:?}: {error}");
}
