//! Code in a sandbox of its own.

use crate::place::{engine, server};
use soulbox_client::{Cause, CodeFile, Execute, RunEvent, SoulBox};
use std::time::Duration;

#[tokio::test]
async fn a_server_runs_code() {
    let (soulbox, _server) = server();
    runs(&soulbox).await;
    dropped_run_ends(&soulbox).await;
}

#[tokio::test]
async fn an_engine_of_ones_own_runs_code_in_the_same_way() {
    let (soulbox, _home) = engine().await;
    runs(&soulbox).await;
    soulbox.stop().await;
}

#[tokio::test]
async fn who_is_no_server_and_who_has_no_key_is_told() {
    let (_, server) = server();
    let stranger = SoulBox::connect(server.url(), "e2b_wrong").unwrap();
    let refused = stranger.list().await.unwrap_err();
    assert!(refused.to_string().contains("key"), "{refused}");
    let url = server.url().to_owned();
    let key = server.key().to_owned();
    drop(server);
    let nobody = SoulBox::connect(&url, &key).unwrap();
    let refused = nobody.list().await.unwrap_err();
    assert!(refused.to_string().contains("no server at"), "{refused}");
}

async fn runs(soulbox: &SoulBox) {
    let code = Execute {
        files: vec![CodeFile {
            path: "data/in".to_owned(),
            content: "\u{fc}ber".into(),
            executable: false,
        }],
        stdin: "some input".into(),
        args: vec!["an argument".to_owned()],
        env: [("WORD".to_owned(), "seven".to_owned())].into(),
        return_files: vec!["*.out".to_owned(), "absent".to_owned()],
        ..Execute::new(
            "bash",
            "cat data/in; cat; echo \"$1 $WORD\" >&2; printf '\\377' > a.out; exit 7",
        )
    };
    let run = soulbox.execute(&code).await.unwrap();
    assert_eq!(
        (run.cause, run.exit_code),
        (Cause::Exited, Some(7)),
        "{run:?}"
    );
    assert_eq!(run.text(), "\u{fc}bersome input");
    assert_eq!(run.stderr, "an argument seven\n");
    let [file] = run.files.as_slice() else {
        panic!("{run:?}")
    };
    assert_eq!(
        (file.path.as_str(), &file.content[..]),
        ("/home/user/a.out", &b"\xff"[..])
    );
    assert_eq!(run.failed_outputs.len(), 1, "{run:?}");
    assert!(run.duration > Duration::ZERO && run.peak_memory > 0 && !run.is_success());
    events(soulbox).await;
    let endless = Execute {
        timeout: Some(Duration::from_millis(300)),
        ..Execute::new("bash", "sleep 1000")
    };
    assert_eq!(
        soulbox.execute(&endless).await.unwrap().cause,
        Cause::TimedOut
    );
    let wrong = soulbox
        .execute(&Execute::new("python", "print("))
        .await
        .unwrap();
    assert!(
        String::from_utf8_lossy(&wrong.stderr).contains("SyntaxError"),
        "{wrong:?}"
    );
    let unknown = soulbox
        .execute(&Execute::new("pyhton", ""))
        .await
        .unwrap_err();
    assert!(unknown.to_string().contains("python"), "{unknown}");
    let absent = Execute {
        template: Some("no-such-template".to_owned()),
        ..Execute::new("bash", "")
    };
    assert!(soulbox.execute(&absent).await.is_err());
}

async fn events(soulbox: &SoulBox) {
    let code = "echo one; sleep 0.2; printf '\\377'";
    let mut running = soulbox.start(&Execute::new("bash", code)).await.unwrap();
    let mut told = Vec::new();
    while let Some(event) = running.next().await.unwrap() {
        told.push(event);
    }
    let [
        RunEvent::Started { language, .. },
        RunEvent::Stdout(one),
        RunEvent::Stdout(odd),
        RunEvent::Exit(run),
    ] = told.as_slice()
    else {
        panic!("{told:?}")
    };
    assert_eq!(
        (language.as_str(), &one[..], &odd[..]),
        ("bash", &b"one\n"[..], &b"\xff"[..])
    );
    assert!(run.is_success() && run.stdout.is_empty());
}

async fn dropped_run_ends(soulbox: &SoulBox) {
    let mut running = soulbox
        .start(&Execute::new("bash", "sleep 1000"))
        .await
        .unwrap();
    let started = running.next().await.unwrap();
    assert!(
        matches!(started, Some(RunEvent::Started { .. })),
        "{started:?}"
    );
    drop(running);
    let ended = async {
        while !soulbox.list().await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(30), ended).await;
    assert!(ended.is_ok(), "the run goes on");
}
