//! Kernels that end when they should not.

use super::{Ground, kinds, stdout};
use serde_json::json;

#[test]
fn a_crashed_kernel_comes_back_with_its_environment() {
    let Some(ground) = Ground::new() else { return };
    let body = json!({ "envVars": { "A": "a" } }).to_string();
    assert_eq!(
        ground.request("POST", "/init", &[], body.as_bytes()).status,
        204
    );
    let id = ground.make(&json!({ "language": "bash", "cwd": "/usr" }));
    for _ in 0..3 {
        let crash =
            json!({ "code": "B=1; echo last; kill -9 $PPID; sleep 1000", "context_id": id });
        let crashed = ground.begin(&crash);
        let waiting = ground.begin(&json!({ "code": "echo \"$A|$B\"; pwd", "context_id": id }));
        let lines = crashed.rest();
        let error = &lines[lines.len() - 2];
        assert_eq!(error["name"], "ContextRestarting", "{lines:?}");
        assert_eq!(error["value"], "Context was restarted");
        assert_eq!(lines.last(), Some(&json!({ "type": "end_of_execution" })));
        let lines = waiting.rest();
        assert_eq!(
            (stdout(&lines), &lines[0]["execution_count"]),
            ("a|\n/usr\n".to_owned(), &json!(1))
        );
    }
    let listed = ground.contexts();
    assert_eq!(listed.last().unwrap()["id"], id.as_str());
}

#[test]
fn an_idle_kernel_that_dies_is_replaced() {
    let Some(ground) = Ground::new() else { return };
    let lines = ground.run(&json!({ "code": "echo $PPID" }));
    let pid = stdout(&lines);
    let run = crate::run::run(&ground, &crate::run::script(&format!("kill -9 {pid}")));
    assert_eq!(run.end["status"], "exit status 0");
    // Until the agent has seen it, a run may still meet the old one, and is told so.
    let lines = ground.run(&json!({ "code": "echo here" }));
    let restarted = lines.iter().any(|line| line["name"] == "ContextRestarting");
    assert!(restarted || stdout(&lines) == "here\n", "{lines:?}");
    let lines = ground.run(&json!({ "code": "echo $PPID" }));
    assert!(
        kinds(&lines).contains(&"stdout") && stdout(&lines) != pid,
        "{lines:?}"
    );
}

#[test]
fn what_code_says_in_its_kernels_place_harms_only_itself() {
    let Some(ground) = Ground::new() else { return };
    let id = ground.make(&json!({ "language": "raw" }));
    let run = |code: &str| ground.run(&json!({ "code": code, "context_id": id }));
    let odd = "
for text in [b'', b'[]', b'{}', b'\\xff', b'null', b'{\"type\": 5}']: frame(text)
say(type='stdout', id='other', text='no'); say(type='stdout', id=None, text='no')
say(type='end', id='other', status='ok'); say(type='new', id=id); say(type='ready')
say(type='error', id=id, name='A', value='', traceback=''); say(type='error', id=id, name='B')
say(type='result', id=id); say(type='result', id=id, data={'text/plain': 5})
";
    let lines = run(odd);
    assert_eq!(kinds(&lines), ["error", "result", "end_of_execution"]);
    assert_eq!(
        (&lines[0]["name"], &lines[1]["text"]),
        (&json!("A"), &json!(5))
    );
    for broken in [
        "s.sendall(b'\\xff\\xff\\xff\\xff')",
        "s.sendall(b'\\x00\\x00')\nos._exit(0)",
        "s.close()\nimport time\ntime.sleep(1000)",
    ] {
        let lines = run(&broken.replace("\\\\", "\\").replace("\\n", "\n"));
        assert_eq!(kinds(&lines), ["error", "end_of_execution"], "{broken}");
        assert_eq!(lines[0]["name"], "ContextRestarting");
    }
    assert_eq!(
        kinds(&run("say(type='count', id=id, execution_count=7)")).len(),
        2
    );
}
