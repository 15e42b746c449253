//! Runs in a scripted guest: the clock is paused, so no test waits.

use super::testing::{Act, Script};
use super::*;
use bytes::Bytes;
use soulbox_model::{Cause, Language};
use std::io::Cursor;
use std::sync::atomic::Ordering;

fn execution(language: &str, code: &str) -> Execution {
    let language = Language::named(language).unwrap();
    Execution {
        program: Program::of_code(Bytes::copy_from_slice(code.as_bytes()), language, None),
        arguments: Vec::new(),
        variables: BTreeMap::new(),
        uploads: Vec::new(),
        downloads: Vec::new(),
        timeout: Duration::from_secs(10),
        output_limit: None,
        drain: Duration::from_millis(100),
        file_limit: 1 << 20,
        user: None,
        workdir: None,
        builds: None,
    }
}

async fn run_with(
    guest: &Script,
    execution: &Execution,
    stdin: Option<&'static str>,
) -> Result<(Outcome, Capture), ExecuteError> {
    let mut capture = Capture::default();
    let stdin = stdin.map(Cursor::new);
    let never = std::future::pending();
    let outcome = execute(guest, execution, stdin, &mut capture, never).await?;
    Ok((outcome, capture))
}

#[tokio::test(start_paused = true)]
async fn code_is_written_as_a_file_and_run() {
    let guest = Script::of(&[(
        "python3",
        &[
            Act::Print("hi"),
            Act::Complain("oh"),
            Act::End(End::Exited(3)),
        ],
    )]);
    let mut wanted = execution("python", "print('hi')");
    wanted.arguments = vec!["a b".to_owned()];
    let (outcome, capture) = run_with(&guest, &wanted, None).await.unwrap();
    assert_eq!((outcome.cause, outcome.exit_code), (Cause::Exited, Some(3)));
    assert_eq!(
        (capture.stdout, capture.stderr),
        (b"hi".to_vec(), b"oh".to_vec())
    );
    assert_eq!(guest.command_lines(), ["python3 /home/user/main.py a b"]);
    assert_eq!(
        guest.files.lock().unwrap()["/home/user/main.py"],
        b"print('hi')"
    );
    let steps: Vec<_> = outcome
        .phases
        .0
        .iter()
        .map(|(step, _)| step.as_str())
        .collect();
    assert_eq!(steps, ["copy_in", "run", "copy_out"]);
}

#[tokio::test(start_paused = true)]
async fn code_goes_with_its_command_where_it_can() {
    let ends: &[Act] = &[Act::End(End::Exited(0))];
    let programs = [
        ("python3", ends),
        ("gcc", ends),
        ("/tmp/.soulbox-program", ends),
    ];
    let guest = |carries| Script {
        carries: Some(carries),
        ..Script::of(&programs)
    };
    let carried = |guest: &Script| {
        let started = guest.started.lock().unwrap();
        let files = started.iter().flat_map(|command| &command.files);
        files.map(|file| file.path.clone()).collect::<Vec<_>>()
    };
    let code = execution("python", "1");
    let small = guest(true);
    run_with(&small, &code, None).await.unwrap();
    assert_eq!(carried(&small), ["/home/user/main.py"]);
    assert!(small.files.lock().unwrap().is_empty());
    // One that cannot be written so is written the usual way, which tells why.
    let refusing = guest(false);
    let (outcome, _) = run_with(&refusing, &code, None).await.unwrap();
    assert_eq!(outcome.exit_code, Some(0));
    assert_eq!(carried(&refusing), [""; 0]);
    assert_eq!(refusing.files.lock().unwrap()["/home/user/main.py"], b"1");
    // A compiler needs it before, and what is large goes as a stream.
    let large = "x".repeat(100_000);
    for wanted in [execution("c", "int main;"), execution("python", &large)] {
        let guest = guest(true);
        run_with(&guest, &wanted, None).await.unwrap();
        assert_eq!(carried(&guest), [""; 0]);
        assert_eq!(guest.files.lock().unwrap().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_compiler_that_fails_ends_the_run() {
    let failing: &[Act] = &[Act::Complain("syntax"), Act::End(End::Exited(1))];
    let guest = Script::of(&[("gcc", failing), ("/tmp/.soulbox-program", &[])]);
    let (outcome, _) = run_with(&guest, &execution("c", "x"), None).await.unwrap();
    assert_eq!(
        (outcome.stage, outcome.exit_code),
        (Stage::Compile, Some(1))
    );
    assert_eq!(guest.command_lines().len(), 1);

    let guest = Script::of(&[
        ("gcc", &[]),
        ("/tmp/.soulbox-program", &[Act::End(End::Exited(7))]),
    ]);
    let (outcome, _) = run_with(&guest, &execution("c", "x"), None).await.unwrap();
    assert_eq!((outcome.stage, outcome.exit_code), (Stage::Run, Some(7)));
}

#[tokio::test(start_paused = true)]
async fn a_missing_program_is_named_with_its_package() {
    let guest = Script::of(&[]);
    let error = run_with(&guest, &execution("ruby", ""), None)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the template script has no ruby, which ruby needs"
    );
    let ExecuteError::ProgramMissing { missing, .. } = error else {
        panic!()
    };
    assert_eq!(missing[0].package, "ruby");
}

#[tokio::test(start_paused = true)]
async fn the_first_way_that_the_template_has_is_taken() {
    let guest = Script::of(&[("bun", &[])]);
    run_with(&guest, &execution("typescript", ""), None)
        .await
        .unwrap();
    assert_eq!(guest.command_lines(), ["bun /home/user/main.ts"]);
    let error = run_with(
        &Script::of(&[("node", &[])]),
        &execution("typescript", ""),
        None,
    )
    .await;
    let message = error.unwrap_err().to_string();
    assert!(message.contains("has no esbuild"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_hangs_is_ended_at_its_time() {
    let guest = Script::of(&[("python3", &[Act::Print("begun"), Act::Hang])]);
    let (outcome, capture) = run_with(&guest, &execution("python", ""), None)
        .await
        .unwrap();
    assert_eq!((outcome.cause, outcome.exit_code), (Cause::TimedOut, None));
    assert_eq!(capture.stdout, b"begun");
    assert!(guest.killed.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn output_is_cut_at_its_limit_to_the_byte() {
    let guest = Script::of(&[("python3", &[Act::Flood])]);
    let wanted = Execution {
        output_limit: Some(25),
        ..execution("python", "")
    };
    let (outcome, capture) = run_with(&guest, &wanted, None).await.unwrap();
    assert_eq!(outcome.cause, Cause::TooMuchOutput);
    assert_eq!(capture.stdout, b"0123456789012345678901234");
    assert_eq!(outcome.printed.stdout, 25);
}

#[tokio::test(start_paused = true)]
async fn output_of_exactly_the_limit_is_not_too_much() {
    let guest = Script::of(&[("python3", &[Act::Print("12345")])]);
    for (limit, cause) in [(5, Cause::Exited), (4, Cause::TooMuchOutput)] {
        let wanted = Execution {
            output_limit: Some(limit),
            ..execution("python", "")
        };
        let (outcome, _) = run_with(&guest, &wanted, None).await.unwrap();
        assert_eq!(outcome.cause, cause, "{limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn input_goes_in_and_ends() {
    let guest = Script::of(&[("python3", &[Act::Echo, Act::End(End::Exited(0))])]);
    let (outcome, capture) = run_with(&guest, &execution("python", ""), Some("in"))
        .await
        .unwrap();
    assert_eq!(outcome.cause, Cause::Exited);
    assert_eq!(capture.stdout, b"in");
    assert!(guest.started.lock().unwrap()[0].stdin);
}

#[tokio::test(start_paused = true)]
async fn a_request_ends_the_run() {
    let guest = Script::of(&[("python3", &[Act::Hang])]);
    let wanted = execution("python", "");
    let mut capture = Capture::default();
    let soon = tokio::time::sleep(Duration::from_secs(1));
    let outcome = execute(
        &guest,
        &wanted,
        None::<tokio::io::Empty>,
        &mut capture,
        soon,
    )
    .await;
    assert_eq!(outcome.unwrap().cause, Cause::Killed);
}

#[tokio::test(start_paused = true)]
async fn a_lost_sandbox_is_out_of_memory_only_when_the_host_says_so() {
    let guest = Script::of(&[("python3", &[Act::Break])]);
    let error = run_with(&guest, &execution("python", ""), None)
        .await
        .unwrap_err();
    assert!(matches!(error, ExecuteError::Guest { .. }), "{error}");
    let guest = Script {
        out_of_memory: true,
        ..Script::of(&[("python3", &[Act::Break])])
    };
    let (outcome, _) = run_with(&guest, &execution("python", ""), None)
        .await
        .unwrap();
    assert_eq!(outcome.cause, Cause::OutOfMemory);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_the_cause_only_of_a_failure() {
    for (code, cause) in [(1, Cause::DiskFull), (0, Cause::Exited)] {
        let acts = [Act::End(End::Exited(code))];
        let guest = Script {
            disk_full: true,
            ..Script::of(&[("python3", &acts)])
        };
        let (outcome, _) = run_with(&guest, &execution("python", ""), None)
            .await
            .unwrap();
        assert_eq!(outcome.cause, cause);
    }
}

#[tokio::test(start_paused = true)]
async fn files_go_in_and_come_out_whole_or_not_at_all() {
    let host = tempfile::tempdir().unwrap();
    let at = |name: &str| host.path().join(name);
    std::fs::write(at("in.csv"), "1,2").unwrap();
    std::fs::write(at("kept"), "old").unwrap();
    let guest = Script::of(&[("python3", &[])]);
    let wanted = Execution {
        uploads: vec![Upload {
            local: at("in.csv"),
            remote: "data/in.csv".to_owned(),
        }],
        downloads: vec![
            Download {
                remote: "data/in.csv".to_owned(),
                local: at("out.csv"),
            },
            Download {
                remote: "/none".to_owned(),
                local: at("kept"),
            },
        ],
        ..execution("python", "")
    };
    let (outcome, _) = run_with(&guest, &wanted, None).await.unwrap();
    assert_eq!(
        guest.files.lock().unwrap()["/home/user/data/in.csv"],
        b"1,2"
    );
    assert_eq!(std::fs::read(at("out.csv")).unwrap(), b"1,2");
    assert_eq!(outcome.failed_downloads.len(), 1);
    assert_eq!(std::fs::read(at("kept")).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(host.path()).unwrap().count(), 3);
}

/// A sink whose reader went away.
struct Closed;

impl Sink for Closed {
    async fn write(&mut self, _: Channel, _: Bytes) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_went_away_is_told() {
    let guest = Script::of(&[("python3", &[Act::Flood])]);
    let wanted = execution("python", "");
    let never = std::future::pending();
    let ended = execute(
        &guest,
        &wanted,
        None::<tokio::io::Empty>,
        &mut Closed,
        never,
    )
    .await;
    assert!(matches!(ended, Err(ExecuteError::Sink(_))));
}

/// A sink whose reader stopped reading.
struct Stuck;

impl Sink for Stuck {
    async fn write(&mut self, _: Channel, _: Bytes) -> io::Result<()> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stopped_reading_does_not_stop_the_clock() {
    let guest = Script::of(&[("python3", &[Act::Flood])]);
    let wanted = execution("python", "");
    let never = std::future::pending();
    let ended = execute(&guest, &wanted, None::<tokio::io::Empty>, &mut Stuck, never).await;
    assert_eq!(ended.unwrap().cause, Cause::TimedOut);
}
