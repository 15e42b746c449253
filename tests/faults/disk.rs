//! A disk that is full, and a data directory that somebody has already.

use crate::ground::{PLAIN, api, create, kill, list, never_panicked, serve, soon, works};
use crate::left::Left;
use soulbox_tests::http::Answer;
use soulbox_tests::server::Server;
use soulbox_tests::{Soulbox, end, wait_for};
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// A small disk at a home's data directory, in a mount namespace that goes with this, or with the test.
struct Disk {
    soulbox: Arc<Soulbox>,
    holder: Child,
}

impl Disk {
    fn of(mebibytes: u32) -> Self {
        let soulbox = Arc::new(Soulbox::new());
        let script = format!(
            "mkdir data; mount -t tmpfs -o size={mebibytes}m none data; echo mounted; exec cat"
        );
        let mut holder = Command::new("unshare")
            .args(["--mount", "sh", "-ec", &script])
            .current_dir(soulbox.home())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare");
        wait_for(&mut holder, "mounted\n");
        Self { soulbox, holder }
    }

    /// A server on it that listens there.
    fn serve(&self, listen: &str) -> Server {
        let variables = [
            ("SOULBOX_POOL_PARKED", "0"),
            ("SOULBOX_SERVER_LISTEN", listen),
        ];
        Server::start_among(self.holder.id(), &self.soulbox, &variables)
    }

    fn filler(&self) -> PathBuf {
        let home = self.soulbox.home().display();
        PathBuf::from(format!("/proc/{}/root{home}/data/filler", self.holder.id()))
    }

    /// Fills it until there is no more room at all.
    fn fill(&self) {
        let mut file = File::create(self.filler()).expect("a file");
        for size in [1 << 20, 4096, 1] {
            let piece = vec![b'x'; size];
            while file.write_all(&piece).is_ok() {}
        }
    }

    fn clear(&self) {
        std::fs::remove_file(self.filler()).expect("the file");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Creates until one is refused, and ends those that found room which the store had taken before.
fn refusal(server: &Server) -> Answer {
    let large = format!(
        r#"{{"templateID":"base","timeout":180,"metadata":{{"a":"{}"}}}}"#,
        "x".repeat(60_000)
    );
    let mut made = Vec::new();
    let mut asked = (0..300).map(|_| api(server, "POST", "/v2/sandboxes", large.as_bytes()));
    let refused = asked.find(|answer| {
        made.extend(answer.json["sandboxID"].as_str().map(str::to_owned));
        answer.status != 201
    });
    for id in made {
        assert_eq!(kill(server, &id).status, 204);
    }
    refused.expect("a refusal on a full disk")
}

#[track_caller]
fn tells_of_the_disk(server: &Server) {
    let refused = refusal(server);
    assert_eq!(refused.status, 507, "{refused:?} {}", server.log());
    assert_eq!(refused.json["code"], 507, "{refused:?}");
    assert!(refused.message().contains("disk"), "{refused:?}");
}

fn create_for(server: &Server, seconds: u32) -> String {
    let body = format!(r#"{{"templateID":"base","timeout":{seconds}}}"#);
    let made = api(server, "POST", "/v2/sandboxes", body.as_bytes());
    assert_eq!(made.status, 201, "{made:?}");
    made.json["sandboxID"].as_str().expect("an id").to_owned()
}

#[test]
fn a_full_disk_stops_what_begins_and_never_what_ends() {
    let disk = Disk::of(48);
    let left = Left::of(disk.soulbox.home());
    let server = disk.serve("127.0.0.1:0");
    let (first, second, third) = (create(&server), create(&server), create(&server));
    let short = create_for(&server, 4);
    let late = create_for(&server, 12);
    disk.fill();
    tells_of_the_disk(&server);
    // What ends goes on: when it is asked for, and when its time is over.
    assert_eq!(kill(&server, &first.0).status, 204);
    soon(|| server.log(), || !list(&server).contains(&short));
    assert!(works(&server, &second));
    left.note(&server);
    // So it is for the next server, where nobody had room to prepare anything.
    let address = server.address().to_owned();
    server.kill();
    let server = disk.serve(&address);
    left.note(&server);
    assert!(works(&server, &second) && works(&server, &third));
    assert!(!list(&server).contains(&first.0), "it had been ended");
    tells_of_the_disk(&server);
    assert_eq!(kill(&server, &third.0).status, 204);
    soon(|| server.log(), || !list(&server).contains(&late));
    assert_eq!(list(&server).len(), 1, "{}", server.log());
    assert!(works(&server, &second));
    // And with room everything does.
    disk.clear();
    soon(
        || "creates work again",
        || api(&server, "POST", "/v2/sandboxes", PLAIN).status == 201,
    );
    never_panicked(&server);
    left.note(&server);
    assert!(server.stop().success());
    left.is_nothing();
}

#[test]
fn a_data_directory_has_one_server() {
    let soulbox = Arc::new(Soulbox::new());
    let server = serve(&soulbox, &[]);
    let sandbox = create(&server);
    let second = soulbox.command(["serve", "--listen", "127.0.0.1:0", "--allow-host-template"]);
    let ended = end({ second }.spawn().expect("the program starts"));
    assert!(ended.code > 0, "{ended:?}");
    assert!(ended.stderr.contains("error: "), "{ended:?}");
    assert!(ended.stderr.contains("another data directory"), "{ended:?}");
    assert!(works(&server, &sandbox));
    create(&server);
}
