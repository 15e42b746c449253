//! A server of an ordinary user.

use super::person::Person;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Child;

/// A server that ends with its sandboxes when this is dropped.
struct Server(Child);

impl Server {
    /// Starts one and waits until it listens.
    fn start(person: &Person, more: &[&str]) -> Self {
        let usual = ["serve", "--listen", "127.0.0.1:0", "--end-on-stop"];
        let mut command = person.command_after("true", usual.iter().chain(more));
        let mut child = command.spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.as_mut().expect("a pipe")).lines();
        let listens = lines.any(|line| line.is_ok_and(|line| line.contains("listens on")));
        let mut server = Self(child);
        assert!(listens, "{}", server.stop());
        server
    }

    fn signal(&mut self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.0), signal);
        let _ = self.0.wait();
    }

    /// Stops it; what it said on stderr.
    fn stop(&mut self) -> String {
        self.signal(Signal::TERM);
        let mut said = String::new();
        let mut stderr = self.0.stderr.take().expect("a pipe");
        stderr.read_to_string(&mut said).expect("text");
        said
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
        }
    }
}

#[test]
fn a_server_works_and_its_sandboxes_outlive_it() {
    for person in [Person::with_one_id(), Person::with_a_range()] {
        let mut server = Server::start(&person, &["--allow-host-template"]);
        let made = person.run(["create", "--timeout", "2m"]).expect_code(0);
        let text = made.text();
        let id = text.trim();
        let script = "echo kept > /tmp/note; id -un; exit 3";
        let ended = person.run(["exec", id, "--", "sh", "-c", script]);
        assert_eq!(ended.expect_code(3).text(), "user\n");
        server.signal(Signal::KILL);

        let mut server = Server::start(&person, &["--allow-host-template"]);
        let ended = person.run(["exec", id, "--", "cat", "/tmp/note"]);
        assert_eq!(ended.expect_code(0).text(), "kept\n");
        let said = server.stop();
        assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");
    }
}

#[test]
fn what_an_ordinary_users_server_cannot_do_is_said() {
    let person = Person::with_a_range();
    let mut server = Server::start(&person, &[]);
    person
        .run(["create"])
        .expect_code(241)
        .expect_stderr(&["\"base\""]);
    let said = server.stop();
    assert!(said.contains("--allow-host-template"), "{said}");
    assert!(!said.contains("ERROR"), "{said}");
}
