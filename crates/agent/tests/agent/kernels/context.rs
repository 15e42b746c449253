//! Contexts: state, order, environment, restart, deletion.

use super::{Ground, kinds, stdout};
use serde_json::{Value, json};

#[test]
fn a_context_keeps_its_state_and_others_have_their_own() {
    let Some(ground) = Ground::new() else { return };
    let one = ground.make(&json!({ "language": " BASH ", "cwd": "/usr" }));
    let lines = ground.run(&json!({ "code": "A=1; pwd", "context_id": one }));
    assert_eq!(
        kinds(&lines),
        ["number_of_executions", "stdout", "end_of_execution"]
    );
    assert_eq!(
        (stdout(&lines), &lines[0]["execution_count"]),
        ("/usr\n".to_owned(), &json!(1))
    );
    let lines = ground.run(&json!({ "code": "echo \"[$A]\"", "context_id": one }));
    assert_eq!(
        (stdout(&lines), &lines[0]["execution_count"]),
        ("[1]\n".to_owned(), &json!(2))
    );
    let lines = ground.run(&json!({ "code": "echo \"[$A]\"; A=2", "language": "bash" }));
    assert_eq!(stdout(&lines), "[]\n");
    let lines = ground.run(&json!({ "code": "echo \"[$A]\"", "language": "bash" }));
    assert_eq!(
        stdout(&lines),
        "[2]\n",
        "one context for those that name a language only"
    );
    let listed = ground.contexts();
    let languages: Vec<&Value> = listed.iter().map(|context| &context["language"]).collect();
    assert_eq!(languages, ["python", "bash", "bash"]);
    assert_eq!(
        listed[1],
        json!({ "id": one, "language": "bash", "cwd": "/usr" })
    );
    let home = listed[2]["cwd"].as_str().unwrap();
    assert_eq!(
        stdout(&ground.run(&json!({ "code": "pwd", "language": "bash" }))),
        format!("{home}\n")
    );
}

#[test]
fn runs_of_a_context_wait_for_each_other_and_contexts_do_not() {
    let Some(ground) = Ground::new() else { return };
    let other = ground.make(&json!({ "language": "bash" }));
    let fifo = ground.path("fifo");
    let first = format!("mkfifo {fifo}; echo begun; cat {fifo}");
    let mut first = ground.begin(&json!({ "code": first }));
    first.wait_for("stdout");
    let waiting: Vec<_> = (0..5)
        .map(|number| {
            ground.begin(
                &json!({ "code": format!("echo {number} >> {fifo}.order; cat {fifo}.order") }),
            )
        })
        .collect();
    let lines =
        ground.run(&json!({ "code": format!("echo go > {fifo}; echo done"), "context_id": other }));
    assert_eq!(stdout(&lines), "done\n");
    assert_eq!(stdout(&first.rest()), "go\n");
    for (number, run) in (0..).zip(waiting) {
        let expected: String = (0..=number).map(|number| format!("{number}\n")).collect();
        assert_eq!(stdout(&run.rest()), expected);
    }
}

#[test]
fn variables_are_the_sandboxes_and_the_runs() {
    let Some(ground) = Ground::new() else { return };
    let set = |variables: Value| {
        let body = json!({ "envVars": variables }).to_string();
        assert_eq!(
            ground.request("POST", "/init", &[], body.as_bytes()).status,
            204
        );
    };
    let show = "echo \"$A|$B|$HOME|$(printenv C-D)\"";
    let shown = |body: Value| stdout(&ground.run(&body));
    set(json!({ "A": "a'\"$x", "C-D": "c" }));
    let home = shown(json!({ "code": "echo -n $HOME" }));
    assert!(home.starts_with('/'), "{home}");
    // Bash itself can have no variable of that name.
    assert_eq!(shown(json!({ "code": show })), format!("a'\"$x||{home}|\n"));
    let lines = json!({ "code": show, "env_vars": { "A": "own", "B": "b" } });
    assert_eq!(shown(lines), format!("own|b|{home}|\n"));
    assert_eq!(shown(json!({ "code": show })), format!("a'\"$x||{home}|\n"));
    set(json!({ "B": "later", "HOME": "/elsewhere" }));
    assert_eq!(shown(json!({ "code": show })), "|later|/elsewhere|\n");
    let id = ground.contexts()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        ground
            .ask("POST", &format!("/contexts/{id}/restart"), &Value::Null)
            .status,
        200
    );
    assert_eq!(shown(json!({ "code": show })), "|later|/elsewhere|\n");
    set(json!({}));
    assert_eq!(shown(json!({ "code": show })), format!("||{home}|\n"));
}

#[test]
fn a_restart_forgets_everything_but_the_context() {
    let Some(ground) = Ground::new() else { return };
    let id = ground.make(&json!({ "language": "bash", "cwd": "/usr" }));
    let mut running =
        ground.begin(&json!({ "code": "A=1; echo on; sleep 1000", "context_id": id }));
    running.wait_for("stdout");
    let waiting = ground.begin(&json!({ "code": "echo \"[$A]\"; pwd", "context_id": id }));
    let answer = ground.ask("POST", &format!("/contexts/{id}/restart"), &Value::Null);
    assert_eq!((answer.status, &answer.body[..]), (200, &b"null"[..]));
    let rest = running.rest();
    let error = json!({
        "type": "error", "name": "ContextRestarting", "value": "Context was restarted", "traceback": "",
    });
    assert_eq!(
        rest[rest.len() - 2..],
        [error, json!({ "type": "end_of_execution" })]
    );
    let lines = waiting.rest();
    assert_eq!(
        (stdout(&lines), &lines[0]["execution_count"]),
        ("[]\n/usr\n".to_owned(), &json!(1))
    );
}

#[test]
fn a_deleted_context_ends_its_runs_and_a_default_one_is_made_again() {
    let Some(ground) = Ground::new() else { return };
    let mut running = ground.begin(&json!({ "code": "echo $$; sleep 1000" }));
    running.wait_for("stdout");
    let waiting = ground.begin(&json!({ "code": "echo never" }));
    let id = ground.contexts()[0]["id"].as_str().unwrap().to_owned();
    let target = format!("/contexts/{id}");
    let answer = ground.ask("DELETE", &target, &Value::Null);
    assert_eq!((answer.status, &answer.body[..]), (200, &b"null"[..]));
    for lines in [running.rest(), waiting.rest()] {
        let error = &lines[lines.len() - 2];
        assert_eq!(
            (&error["name"], stdout(&lines)),
            (&json!("ExecutionAborted"), String::new())
        );
    }
    assert_eq!(ground.ask("DELETE", &target, &Value::Null).status, 404);
    assert!(ground.contexts().is_empty());
    assert_eq!(
        stdout(&ground.run(&json!({ "code": "echo again" }))),
        "again\n"
    );
    let listed = ground.contexts();
    assert_eq!(
        (listed.len(), &listed[0]["language"]),
        (1, &json!("python"))
    );
    assert_ne!(listed[0]["id"], id);
}

#[test]
fn kernels_are_nobodys_commands_and_run_as_the_default_user() {
    let Some(ground) = Ground::new() else { return };
    let lines =
        ground.run(&json!({ "code": "id -un; ps -o sid= -p $PPID; ls /proc/$PPID/fd | wc -l" }));
    let text = stdout(&lines);
    assert_eq!(
        text.lines().next(),
        Some(crate::support::me().as_str()),
        "{text}"
    );
    let (status, listed) = ground.unary("process.Process/List", &json!({}));
    assert_eq!((status, listed), (200, json!({ "processes": [] })));
}

#[test]
fn a_waiting_process_serves_the_next_context() {
    let Some(ground) = Ground::new() else { return };
    let pid = |id: &str| {
        let lines = ground.run(&json!({ "code": "echo $PPID", "context_id": id }));
        stdout(&lines).trim().parse::<u32>().unwrap()
    };
    // The first use of the port has it begun.
    ground.contexts();
    let begin = std::time::Instant::now();
    let waiting = loop {
        let command = "pgrep -f soulbox_[b]ash";
        let run = crate::run::run(&ground, &crate::run::script(command));
        let text = String::from_utf8(run.stdout).unwrap();
        let pids: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
        if let [first, _, ..] = pids[..] {
            break first;
        }
        assert!(begin.elapsed().as_secs() < 30, "no process waits");
    };
    let id = ground.make(&json!({ "language": "waiting" }));
    assert_eq!(pid(&id), waiting);
    let other = ground.make(&json!({ "language": "waiting" }));
    assert_ne!(pid(&other), waiting);
}
