//! The ground that families are fought on: an engine, the sandbox that attacks, a neighbour with
//! things of its own, and what of the host an attacker would want.

use crate::heartbeat::{Heartbeat, LONGEST};
use crate::support::{Place, cgroups, entries, shell, spec};
use serde_json::{Value, json};
use soulbox_model::{Limits, SandboxSpec};
use soulbox_node::{Node, Sandbox};
use soulbox_runtime::agent_client::{ProcessEvent, ProcessStream, StartRequest};
use soulbox_runtime::native::rights;
use soulbox_wire::spawner::Ids;
use std::io::Write;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const NEIGHBOUR: &str = include_str!("inside/neighbour.py");

/// An engine with two sandboxes, and the host's belongings.
pub(crate) struct Ground {
    pub(crate) place: Place,
    /// Whose engine it is.
    pub(crate) ids: Ids,
    pub(crate) node: Arc<Node>,
    pub(crate) attacker: Sandbox,
    pub(crate) neighbour: Arc<Sandbox>,
    host: Belongings,
    _neighbours_life: ProcessStream,
    pulse: JoinHandle<Duration>,
    stop_pulse: Arc<AtomicBool>,
    heartbeat: Heartbeat,
}

/// What stayed of a family when it was over.
pub(crate) struct Aftermath {
    pub(crate) heartbeat: Duration,
    /// The longest that a command in the neighbour took.
    pub(crate) neighbour: Duration,
}

impl Ground {
    pub(crate) async fn new() -> Self {
        let place = Place::new();
        let node = place.node(&[]).await;
        let limits = Limits {
            pids: 200,
            ..node.settings().sandbox.limits()
        };
        let wanted = SandboxSpec {
            limits,
            ..spec(&node)
        };
        let attacker = node.create(wanted.clone()).await.unwrap();
        let neighbour = Arc::new(node.create(wanted).await.unwrap());
        let host = Belongings::new(&place);
        let life = furnish(&neighbour, &host.secret_text).await;
        let stop_pulse = Arc::new(AtomicBool::new(false));
        let pulse = tokio::spawn(pulse(
            Arc::clone(&neighbour),
            host.secret_text.clone(),
            Arc::clone(&stop_pulse),
        ));
        Self {
            place,
            ids: rights::of_process(0).unwrap(),
            node,
            attacker,
            neighbour,
            host,
            _neighbours_life: life,
            pulse,
            stop_pulse,
            heartbeat: Heartbeat::start(),
        }
    }

    /// Whether the engine is that of the host's root.
    pub(crate) fn as_root(&self) -> bool {
        matches!(self.ids, Ids::Machine { .. })
    }

    /// What the attacker is told: everything that it could have guessed.
    pub(crate) fn facts(&self, scratch: &str) -> Value {
        let start = |pid: u32, file: &str| {
            let map = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
            map.split_whitespace()
                .nth(1)
                .unwrap()
                .parse::<u32>()
                .unwrap()
        };
        json!({
            "scratch": scratch,
            "secret": self.host.secret_text,
            "secret_path": self.place.path("secret"),
            "pid": self.host.victim.id(),
            "mark": self.host.mark,
            "abstract": self.host.abstract_name,
            "socket": self.place.path("socket"),
            "port": self.host.port,
            "disk": self.host.disk,
            "engine_socket": self.neighbour.agent().socket(),
            "neighbour_pid": self.neighbour.pid(),
            "neighbour_uid": start(self.neighbour.pid(), "uid_map") + 1000,
            "mountinfo": std::fs::read_to_string("/proc/self/mountinfo").unwrap(),
        })
    }

    /// Ends everything and asserts that nobody was harmed and nothing is left.
    pub(crate) async fn leave(self) -> Aftermath {
        let as_root = self.as_root();
        self.stop_pulse.store(true, Ordering::Relaxed);
        let neighbour_slowest = self.pulse.await.unwrap();
        let after = shell(&self.neighbour, "user", "cat /home/user/mine").await;
        assert_eq!(after.stdout, self.host.secret_text, "the neighbour's file");
        let slots = [self.attacker.slot(), self.neighbour.slot()];
        let pids = [self.attacker.pid(), self.neighbour.pid()];
        let ranges = pids.map(id_range);
        self.attacker.destroy().await;
        Arc::into_inner(self.neighbour).unwrap().destroy().await;
        self.node.stop().await;
        drop(self.node);
        // Slots and ids of an ordinary user's engine are those of others of the machine too.
        for slot in slots.into_iter().filter(|_| as_root) {
            assert!(cgroups(slot).is_empty(), "cgroups of slot {slot}");
            let link = format!("/sys/class/net/sbx{slot}");
            assert!(!std::fs::exists(&link).unwrap(), "{link}");
        }
        for range in ranges.iter().filter(|_| as_root) {
            assert_eq!(processes_of(range), Vec::<String>::new());
        }
        assert_eq!(processes_in_other_namespaces(as_root), Vec::<String>::new());
        assert_eq!(entries(&self.place.path("run/engines")), 0);
        assert_eq!(entries(&self.place.path("data/sandboxes")), 0);
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let here = self.place.path("").to_string_lossy().into_owned();
        assert!(!mounts.contains(&here), "mounts are left: {mounts}");
        self.host.assert_untouched(&self.place);
        let heartbeat = self.heartbeat.stop();
        assert!(
            heartbeat < LONGEST,
            "the host stood still for {heartbeat:?}"
        );
        Aftermath {
            heartbeat,
            neighbour: neighbour_slowest,
        }
    }
}

/// Things of the host that an attacker would want.
struct Belongings {
    secret_text: String,
    mark: String,
    victim: Child,
    abstract_name: String,
    port: u16,
    disk: Option<String>,
}

impl Belongings {
    fn new(place: &Place) -> Self {
        let unique =
            format!("{}-{}", std::process::id(), place.path("").display()).replace('/', "-");
        let secret_text = format!("secret of the host {unique}");
        let secret = place.path("secret");
        std::fs::write(&secret, &secret_text).unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o666)).unwrap();
        let mark = format!("victim{unique}");
        #[allow(clippy::disallowed_methods, reason = "a process of the host to attack")]
        let mut victim = Command::new("/bin/sh");
        let script = format!("trap '' TERM; cat; : {mark}");
        victim.args(["-c", &script]).stdin(Stdio::piped());
        let abstract_name = format!("soulbox-test{unique}");
        let name = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let text = secret_text.clone();
        std::thread::spawn(move || {
            for mut peer in listener.incoming().flatten() {
                let _ = peer.write_all(text.as_bytes());
            }
        });
        for listener in [
            UnixListener::bind_addr(&name).unwrap(),
            UnixListener::bind(place.path("socket")).unwrap(),
        ] {
            let text = secret_text.clone();
            std::thread::spawn(move || {
                for mut peer in listener.incoming().flatten() {
                    let _ = peer.write_all(text.as_bytes());
                }
            });
        }
        Self {
            secret_text,
            mark,
            victim: victim.spawn().unwrap(),
            abstract_name,
            port,
            disk: disk(),
        }
    }

    fn assert_untouched(&self, place: &Place) {
        let secret = std::fs::read_to_string(place.path("secret")).unwrap();
        assert_eq!(secret, self.secret_text, "the host's file");
        let victim = std::fs::read_to_string(format!("/proc/{}/status", self.victim.id()));
        assert!(!victim.unwrap().contains("State:\tZ"), "the host's process");
    }
}

impl Drop for Belongings {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}

/// A disk of the host.
fn disk() -> Option<String> {
    let table = std::fs::read_to_string("/proc/partitions").unwrap_or_default();
    let names = table
        .lines()
        .skip(2)
        .filter_map(|line| line.split_whitespace().nth(3));
    let mut paths = names.map(|name| format!("/dev/{name}"));
    paths.find(|path| std::fs::File::open(path).is_ok())
}

/// Puts the neighbour's belongings in place.
async fn furnish(neighbour: &Sandbox, secret: &str) -> ProcessStream {
    let request = StartRequest {
        cmd: "/usr/bin/python3".to_owned(),
        args: ["-c", NEIGHBOUR, secret].map(str::to_owned).to_vec(),
        user: Some("user".to_owned()),
        ..StartRequest::default()
    };
    let mut process = neighbour.agent().start(&request).await.unwrap();
    match process.next().await.unwrap() {
        Some(ProcessEvent::Stdout(bytes)) if bytes.as_ref() == b"ready\n" => process,
        other => panic!("the neighbour is not ready: {other:?}"),
    }
}

/// Asks the neighbour again and again; gives the longest that it took to answer.
async fn pulse(neighbour: Arc<Sandbox>, secret: String, stop: Arc<AtomicBool>) -> Duration {
    let mut slowest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let output = shell(&neighbour, "user", "cat /home/user/mine").await;
        assert_eq!(output.stdout, secret, "the neighbour answers with its own");
        slowest = slowest.max(begin.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    slowest
}

/// The host ids of a sandbox.
fn id_range(pid: u32) -> std::ops::Range<u32> {
    let map = std::fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap();
    let numbers: Vec<u32> = map.split_whitespace().map(|n| n.parse().unwrap()).collect();
    numbers[1]..numbers[1] + numbers[2]
}

/// The processes of an ordinary user's sandboxes: those of other PID namespaces that the user's
/// own user namespace lets one look at.
fn processes_in_other_namespaces(as_root: bool) -> Vec<String> {
    let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/pid")).ok();
    let own = namespace("self");
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let names = processes.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let numbered = names.filter(|name| !as_root && name.parse::<u32>().is_ok());
    numbered
        .filter(|name| namespace(name).is_some_and(|its| Some(its) != own))
        .collect()
}

/// The processes that run under one of these ids.
pub(crate) fn processes_of(range: &std::ops::Range<u32>) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let numbered = processes.filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().parse::<u32>().is_ok()
    });
    let owned = numbered.filter(|entry| {
        let about = entry.metadata();
        about.is_ok_and(|about| range.contains(&about.uid()))
    });
    owned
        .map(|entry| entry.path().display().to_string())
        .collect()
}
