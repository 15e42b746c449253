//! A sandbox: its commands, files, contexts, and its end.

use crate::place::{engine, server, wish};
use soulbox_client::{
    AskedLimits, CellEvent, Code, NewSandbox, ProcessEvent, Sandbox, SoulBox, StartRequest, shell,
};
use soulbox_tests::kernel;

#[tokio::test]
async fn a_sandbox_of_a_server_is_used() {
    let (soulbox, _server) = server();
    used(&soulbox).await;
}

#[tokio::test]
async fn a_sandbox_of_an_engine_of_ones_own_is_used_in_the_same_way() {
    let (soulbox, _home) = engine().await;
    used(&soulbox).await;
    soulbox.stop().await;
}

/// All that a sandbox is for.
async fn used(soulbox: &SoulBox) {
    let sandbox = soulbox.create(&wish()).await.unwrap();
    let listed = soulbox.list().await.unwrap();
    let [one] = listed.as_slice() else {
        panic!("{listed:?}")
    };
    assert_eq!(
        (&one.sandbox_id, one.state.as_str()),
        (sandbox.id(), "running")
    );
    assert_eq!(one.metadata["of"], "a test");
    commands(&sandbox).await;
    files(&sandbox).await;
    contexts(&sandbox).await;
    ends(soulbox, &sandbox).await;
    refusals(soulbox).await;
}

async fn commands(sandbox: &Sandbox) {
    let line = "echo $WORD; echo bad >&2; exit 3";
    let done = sandbox.run(&shell(line)).await.unwrap();
    assert_eq!((done.exit_code, done.signal), (3, None));
    assert_eq!(
        (&done.stdout[..], &done.stderr[..]),
        (&b"seven\n"[..], &b"bad\n"[..])
    );
    let cat = StartRequest {
        cmd: "cat".to_owned(),
        stdin: true,
        ..StartRequest::default()
    };
    let mut running = sandbox.start(&cat).await.unwrap();
    // Output comes while it runs, and not at its end.
    running.write(b"one").await.unwrap();
    let first = running.next().await.unwrap();
    assert_eq!(first, Some(ProcessEvent::Stdout("one".into())));
    let known = sandbox.processes().await.unwrap();
    assert!(
        known.iter().any(|process| process.pid == running.pid()),
        "{known:?}"
    );
    running.write(b"two").await.unwrap();
    running.close_stdin().await.unwrap();
    let done = running.wait(100).await.unwrap();
    assert_eq!((done.exit_code, &done.stdout[..]), (0, &b"two"[..]));
    let endless = sandbox.start(&shell("exec sleep 1000")).await.unwrap();
    endless.kill().await.unwrap();
    assert_eq!(endless.wait(100).await.unwrap().signal, Some(9));
    let long = sandbox.start(&shell("echo 1234567890")).await.unwrap();
    let refused = long.wait(9).await.unwrap_err();
    assert!(
        refused.to_string().contains("more than 9 bytes"),
        "{refused}"
    );
    let absent = StartRequest {
        cmd: "no-such-program".to_owned(),
        ..StartRequest::default()
    };
    assert!(sandbox.run(&absent).await.is_err());
}

async fn files(sandbox: &Sandbox) {
    let content = b"\xff\x00 anything".repeat(10_000);
    let path = "/home/user/made/file";
    sandbox.write(path, content.clone()).await.unwrap();
    assert_eq!(sandbox.read(path).await.unwrap(), content);
    assert!(sandbox.open_file(path, 10).await.is_err());
    let about = sandbox.stat(path).await.unwrap().unwrap();
    assert_eq!(about.size, i64::try_from(content.len()).unwrap());
    sandbox.make_dir("/home/user/made/empty").await.unwrap();
    sandbox.rename(path, "/home/user/made/moved").await.unwrap();
    let entries = sandbox.list_dir("/home/user/made").await.unwrap();
    let mut names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["empty", "moved"]);
    sandbox.remove("/home/user/made").await.unwrap();
    assert!(sandbox.stat("/home/user/made").await.unwrap().is_none());
    assert!(sandbox.read(path).await.unwrap_err().is_not_found());
}

async fn contexts(sandbox: &Sandbox) {
    let [cmd, args @ ..] = kernel::install();
    let install = StartRequest {
        cmd,
        args: args.to_vec(),
        ..StartRequest::default()
    };
    assert_eq!(sandbox.run(&install).await.unwrap().stdout, b"written\n");
    let context = sandbox
        .new_context(Some("python"), Some("/tmp"))
        .await
        .unwrap();
    assert_eq!(
        (context.language.as_str(), context.cwd.as_str()),
        ("python", "/tmp")
    );
    let run = async |code: &str| {
        let cell = sandbox.run_code(&Code::to(&context, code)).await.unwrap();
        cell.wait().await.unwrap()
    };
    assert_eq!(run("x = 'kept'").await.stdout, "");
    let told = run("print(x)").await;
    assert_eq!((told.stdout.as_str(), told.count), ("kept\n", Some(1)));
    let code = Code::to(
        &context,
        "import time\nprint('now', end='')\ntime.sleep(1000)",
    );
    let mut cell = sandbox.run_code(&code).await.unwrap();
    while cell.next().await.unwrap() != Some(CellEvent::Stdout("now".to_owned())) {}
    // That interrupts it; what comes next is not kept waiting.
    drop(cell);
    assert_eq!(run("print(x)").await.stdout, "kept\n");
    let known = sandbox.contexts().await.unwrap();
    assert!(known.contains(&context), "{known:?}");
    sandbox.restart_context(&context.id).await.unwrap();
    sandbox.remove_context(&context.id).await.unwrap();
    let gone = sandbox
        .run_code(&Code::to(&context, "1"))
        .await
        .unwrap_err();
    assert!(gone.is_not_found(), "{gone}");
    let unknown = sandbox.new_context(Some("cobol"), None).await.unwrap_err();
    assert!(unknown.to_string().contains("cobol"), "{unknown}");
}

async fn ends(soulbox: &SoulBox, sandbox: &Sandbox) {
    let other = soulbox.open(sandbox.id()).await.unwrap();
    other.write("/tmp/x", "from the other").await.unwrap();
    assert_eq!(sandbox.read("/tmp/x").await.unwrap(), "from the other");
    other.kill().await.unwrap();
    assert!(sandbox.kill().await.unwrap_err().is_not_found());
    assert!(soulbox.open(sandbox.id()).await.unwrap_err().is_not_found());
    assert!(soulbox.list().await.unwrap().is_empty());
    assert!(sandbox.run(&shell("true")).await.is_err());
}

async fn refusals(soulbox: &SoulBox) {
    let small = NewSandbox {
        limits: AskedLimits {
            memory_bytes: Some(1),
            ..AskedLimits::default()
        },
        ..wish()
    };
    let refused = soulbox.create(&small).await.unwrap_err();
    assert!(refused.to_string().contains("memory"), "{refused}");
    for absent in ["no-such-template", "../x"] {
        assert!(soulbox.create(&NewSandbox::of(absent)).await.is_err());
    }
    assert!(soulbox.list().await.unwrap().is_empty());
}
