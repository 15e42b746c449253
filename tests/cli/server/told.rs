//! `events`, `logs`, `ps --all`.

use rustix::process::{Pid, Signal, kill_process};
use soulbox_tests::server::Server;
use soulbox_tests::{end, wait_for};

#[test]
fn what_happened_is_told_after_the_end_too() {
    let server = Server::start();
    let id = server.create(&["--metadata", "owner=ci"]);
    let mut all = server
        .client()
        .command(["events", "-f"])
        .spawn()
        .expect("starts");
    let mut one = server
        .client()
        .command(["events", &id[..10], "-f"])
        .spawn()
        .expect("starts");
    wait_for(&mut one, "created");
    server.run(["pause", &id]).expect_code(0);
    wait_for(&mut one, "paused");
    server.run(["kill", &id]).expect_code(0);
    let one = end(one).expect_code(0).text();
    assert!(one.contains("ended: killed"), "{one}");
    // Whether the last line came shows that the others did.
    wait_for(&mut all, "ended: killed");
    kill_process(Pid::from_child(&all), Signal::INT).expect("a signal");
    end(all).expect_code(0);

    let events = server.run(["events", &id[..10]]).expect_code(0).text();
    for kind in ["created", "paused", "ended: killed"] {
        assert!(events.contains(kind), "{kind}: {events}");
    }
    let json = server.run(["events", &id, "--json"]).expect_code(0).json();
    assert_eq!(json["events"][0]["kind"], "created");
    let log = server.run(["logs", &id]).expect_code(0).text();
    assert!(log.lines().count() >= 3, "{log}");
    assert_eq!(server.run(["ps", "-q"]).expect_code(0).text(), "");
    let listed = server.run(["ps", "--all"]).expect_code(0).text();
    assert!(
        listed.contains(&id) && listed.contains("killed") && listed.contains("owner=ci"),
        "{listed}"
    );
    server.run(["events", "inosuch"]).expect_code(241);
}
