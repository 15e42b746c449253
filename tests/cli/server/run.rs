//! `run` on a server.

use soulbox_tests::server::Server;

#[test]
fn a_run_on_a_server_is_as_one_of_the_own_engine() {
    let server = Server::start();
    let run = |arguments: &[&str]| {
        let there = ["run", "--server", server.url()];
        server.run(there.iter().chain(arguments))
    };
    server.client().file("data.csv", "a,b");
    let code = "import sys; print(open('data.csv').read(), sys.argv[1:]); open('out','w').write('made'); sys.exit(4)";
    let files = ["--file", "data.csv:data.csv", "--output", "out:result"];
    let ended = run(&[
        &files[..],
        &["--workdir", "/home/user", "-c", code, "--", "x y"],
    ]
    .concat());
    assert_eq!(ended.expect_code(4).text(), "a,b ['x y']\n");
    let made = std::fs::read_to_string(server.client().home().join("result"));
    assert_eq!(made.expect("it was copied out"), "made");

    let json = run(&["--json", "--memory", "100M", "-c", "print('hi')"])
        .expect_code(0)
        .json();
    assert_eq!(json["stdout"], "hi\n");
    assert_eq!(json["cause"], "exited");
    assert_eq!(json["template"], "host");
    assert_eq!(json["isolation"], "namespace");
    assert!(json["peak_memory"].as_u64() > Some(0), "{json}");
    let steps: Vec<_> = json["phases"]
        .as_array()
        .expect("steps")
        .iter()
        .map(|step| step["step"].clone())
        .collect();
    assert!(
        steps.contains(&"run".into()) && steps.len() > 3,
        "{steps:?}"
    );

    // Its stdin, and that it waits for it.
    let there = ["run", "--server", server.url(), "-l", "bash", "-c", "wc -c"];
    let counted = server.client().run_with_input(&there, &vec![b'x'; 200_000]);
    assert_eq!(counted.expect_code(0).text().trim(), "200000");

    // The causes.
    run(&["--timeout", "300ms", "-l", "bash", "-c", "sleep 100"])
        .expect_code(244)
        .expect_stderr(&["300ms"]);
    let greedy = "x = bytearray(1 << 30); print(len(x))";
    run(&["--memory", "64M", "-c", greedy])
        .expect_code(245)
        .expect_stderr(&["64 MiB"]);
    run(&["--max-output", "1K", "-l", "bash", "-c", "yes"]).expect_code(247);
    let full = "head -c 200M /dev/zero > big";
    run(&["--disk", "8M", "-l", "bash", "-c", full]).expect_code(246);
    run(&["--mount", ".:/x", "-c", "1"])
        .expect_code(240)
        .expect_stderr(&["--mount"]);
    run(&["--template", "none-such", "-c", "1"])
        .expect_code(241)
        .expect_stderr(&["none-such"]);
    // Nothing is left, whatever happened.
    assert_eq!(server.run(["ps", "-q"]).expect_code(0).text(), "");
}
