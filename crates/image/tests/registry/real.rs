//! The registry that Debian has, filled by the tools that Debian has.

use crate::ground::{Ground, told, unpack};
use soulbox_image::oci::digest::Digest;
use soulbox_image::oci::manifest::Packing;
use soulbox_image::oci::platform::Platform;
use soulbox_image::oci::registry::Registry;
use soulbox_image::steps::RegistryAuth;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// `me` and `SECRET`, as `htpasswd` writes it.
const USERS: &str = "me:$2y$04$19q/z2Uve372xsE042EhQODKiNZmHB4SaPWVkkVfmikQAKvXE1.tW\n";

/// A registry that wants a password. It ends with this.
struct Real {
    address: String,
    program: Child,
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

#[allow(clippy::disallowed_methods)] // a test of what other programs serve starts them
fn program(name: &str) -> Command {
    Command::new(name)
}

impl Real {
    fn start(directory: &Path) -> Self {
        let users = directory.join("users");
        fs::write(&users, USERS).unwrap();
        let data = directory.join("data");
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"127.0.0.1:0\"}}\n\
             auth: {{htpasswd: {{realm: x, path: {}}}}}\n",
            data.display(),
            users.display()
        );
        let path = directory.join("registry.yml");
        fs::write(&path, config).unwrap();
        let mut program = program("docker-registry")
            .arg("serve")
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(program.stderr.take().unwrap()).lines();
        let address = loop {
            let line = log.next().expect("it listens").unwrap();
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split('"').next().unwrap().to_owned();
            }
        };
        // A pipe that nobody reads would stop it.
        std::thread::spawn(move || log.count());
        Self { address, program }
    }
}

fn run(name: &str, arguments: &[&str]) {
    let done = program(name).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{name} {arguments:?}: {error}");
}

/// An image with one file of 300 KB, by umoci.
fn make_image(directory: &Path) -> String {
    let layout = directory.join("layout").display().to_string();
    let tagged = format!("{layout}:made");
    let bundle = directory.join("bundle").display().to_string();
    run("umoci", &["init", "--layout", &layout]);
    run("umoci", &["new", "--image", &tagged]);
    run("umoci", &["unpack", "--image", &tagged, &bundle]);
    let text: String = (0..30_000).map(|line| format!("line {line}\n")).collect();
    fs::write(directory.join("bundle/rootfs/text"), text).unwrap();
    run("umoci", &["repack", "--image", &tagged, &bundle]);
    run(
        "umoci",
        &["config", "--image", &tagged, "--config.env", "A=b"],
    );
    tagged
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_other_tools_are_pulled() {
    let directory = tempfile::tempdir().unwrap();
    let real = Real::start(directory.path());
    let from = format!("oci:{}", make_image(directory.path()));
    // It would take a layer that it knows already as it is: the one that is packed anew comes first.
    for (name, packing) in [("packed/zstd", "zstd"), ("packed/gzip", "gzip")] {
        let to = format!("docker://{}/{name}:1", real.address);
        let how = ["--dest-tls-verify=false", "--dest-creds", "me:SECRET"];
        let format = ["--dest-compress", "--dest-compress-format", packing];
        let arguments = [&["copy", "-q"], &how[..], &format[..], &[&from, &to]].concat();
        run("skopeo", &arguments);
    }
    let ground = Ground::new().await;
    let registry = Registry::new(ground.options.clone()).unwrap();
    let me = RegistryAuth {
        username: "me".into(),
        password: "SECRET".into(),
    };
    let mut packings = Vec::new();
    for name in ["packed/zstd", "packed/gzip"] {
        let name = format!("{}/{name}:1", real.address).parse().unwrap();
        let refused = registry.resolve(&name, None, &Platform::host()).await;
        let refused = told(&refused.unwrap_err());
        assert!(refused.contains("somebody without a password"), "{refused}");
        let image = registry.resolve(&name, Some(&me), &Platform::host()).await;
        let image = image.unwrap();
        assert_eq!(image.config.config.env, ["A=b"]);
        packings.push(Packing::of(&image.manifest.layers[0].media_type).unwrap());
        let templates = directory.path().join(name.repository());
        let pulled = registry.pull(&image, Some(&me), &templates, unpack, &|_| {});
        let held = pulled.await.unwrap();
        let tar = fs::read(held[0].tree.join("all")).unwrap();
        assert_eq!(Digest::of(&tar), image.config.rootfs.diff_ids[0]);
        assert!(tar.windows(11).any(|part| part == b"line 29999\n"));
    }
    assert_eq!(packings, [Packing::Zstd, Packing::Gzip]);
}
