//! Links, nodes and names against every route that files take: `--file`, `--output`, `--mount`,
//! and the agent's `/files`.

mod routes;

use crate::ground::Ground;
use crate::report::{Made, Report};
use routes::{PATHS, ROUTES, SHARED, SWAPS};
use soulbox_tests::{Ended, Soulbox};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;

/// A directory with something of every kind that a sandbox could misuse.
fn furnish(soulbox: &Soulbox) {
    let path = |name: &str| soulbox.home().join(name);
    fs::create_dir(path("shared")).unwrap();
    fs::create_dir(path("elsewhere")).unwrap();
    soulbox.file("secret", "secret");
    soulbox.file("shared/note", "seen");
    fs::copy("/usr/bin/id", path("shared/id")).unwrap();
    soulbox.file("shared/idu", "");
    fs::copy("/usr/bin/id", path("shared/idu")).unwrap();
    symlink(path("secret"), path("shared/to-secret")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path("shared/zero"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::from(0o666),
        rustix::fs::makedev(1, 5),
    )
    .unwrap();
    for (name, mode) in [
        ("shared", 0o777),
        ("shared/note", 0o666),
        ("shared/idu", 0o4755),
    ] {
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    chown(path("shared/note"), Some(1000), Some(1000)).unwrap();
}

fn run(soulbox: &Soulbox, user: &str, flags: &[&str], code: &str) -> Ended {
    let home = soulbox.home().display().to_string();
    let place = |text: &&str| text.replace('@', &home);
    let flags: Vec<String> = flags.iter().map(place).collect();
    let code = place(&code).replace("idu)", "idu -u)");
    let mut words = vec![
        "run",
        "--template",
        "host",
        "--timeout",
        "10s",
        "--user",
        user,
    ];
    words.extend(flags.iter().map(String::as_str));
    words.extend(["-l", "bash", "-c", &code]);
    soulbox.run(words)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_of_files_leads_out() {
    let ground = Ground::new().await;
    let mut report = Report::new("file-routes");
    let mut problems = Vec::new();
    for route in ROUTES {
        for user in ["user", "root"] {
            let soulbox = Soulbox::new();
            furnish(&soulbox);
            let (ended, control) = tokio::task::block_in_place(|| {
                let ended = run(&soulbox, user, route.flags, route.code);
                let control = match route.control {
                    // Where the flags are refused: the same run without them.
                    "" => run(&soulbox, user, SHARED, "cat /shared/note"),
                    code => run(&soulbox, user, route.flags, code),
                };
                (ended, control)
            });
            let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &ended.stderr;
            let leaked = said.contains("secret\n") || soulbox.home().join("out").exists();
            if !said.contains(route.says) || leaked {
                problems.push(format!("{user}: {}: {} {said}", route.tries, ended.code));
            }
            let seen = String::from_utf8_lossy(&control.stdout).into_owned();
            if !seen.contains("seen") {
                let told = control.stderr;
                problems.push(format!("{user}: {}: control: {seen}{told}", route.tries));
            }
            let kept = fs::read_to_string(soulbox.home().join("secret")).unwrap();
            assert_eq!(kept, "secret");
            report.add(Made {
                tries: route.tries.to_owned(),
                user,
                refusal: route.says.to_owned(),
                control: "what is allowed works by the same route",
            });
        }
    }
    for (tries, swap) in SWAPS {
        for user in ["user", "root"] {
            let (refused, told) = tokio::task::block_in_place(|| swapped(user, swap));
            if !refused {
                problems.push(format!("{user}: {tries}: {told}"));
            }
            report.add(Made {
                tries: (*tries).to_owned(),
                user,
                refusal: told,
                control: "without the swap the file arrives",
            });
        }
    }
    agent_files(&ground, &mut report, &mut problems).await;
    let aftermath = ground.leave().await;
    report.close(&aftermath);
    assert!(
        problems.is_empty(),
        "file routes:\n  {}",
        problems.join("\n  ")
    );
}

/// Runs code that swaps, with its output in the shared directory: whether nothing came elsewhere.
fn swapped(user: &str, swap: &str) -> (bool, String) {
    let soulbox = Soulbox::new();
    furnish(&soulbox);
    let path = |name: &str| -> PathBuf { soulbox.home().join(name) };
    fs::create_dir(path("shared/out")).unwrap();
    fs::set_permissions(path("shared/out"), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(path("elsewhere/victim"), "untouched").unwrap();
    let flags = [
        "--mount",
        "@/shared:/shared",
        "--output",
        "/tmp/x:@/shared/out/result",
    ];
    let ended = run(&soulbox, user, &flags, "echo out > /tmp/x");
    let arrived = fs::read_to_string(path("shared/out/result")).unwrap_or_default();
    if arrived != "out\n" {
        return (false, format!("control: {arrived:?} {}", ended.stderr));
    }
    fs::remove_file(path("shared/out/result")).unwrap();
    let ended = run(
        &soulbox,
        user,
        &flags,
        &format!("echo out > /tmp/x; {swap}"),
    );
    let victim = fs::read_to_string(path("elsewhere/victim")).unwrap();
    let others = fs::read_dir(path("elsewhere")).unwrap().count();
    let told = format!("exit code {}, nothing elsewhere", ended.code);
    (victim == "untouched" && others == 1, told)
}

async fn agent_files(ground: &Ground, report: &mut Report, problems: &mut Vec<String>) {
    let agent = ground.attacker.agent();
    let here = ground.place.path("");
    let here = here.to_str().unwrap().trim_end_matches('/');
    let script = format!("ln -sf {here}/secret /tmp/link; echo seen > /tmp/note");
    crate::support::shell(&ground.attacker, "user", &script).await;
    for user in ["user", "root"] {
        for path in PATHS {
            let path = path.replace('@', here);
            let read = match agent.read_file(&path, Some(user), 1000).await {
                Ok(file) => file.read_to_end().await.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            let refusal = match read {
                Ok(content) => {
                    problems.push(format!("{user}: {path}: {content:?}"));
                    "read".to_owned()
                }
                Err(refusal) => refusal,
            };
            report.add(Made {
                tries: format!("/files: read {}", path.replace(here, "…")),
                user,
                refusal: refusal.replace(here, "…"),
                control: "a file of the sandbox is read",
            });
        }
        let note = agent
            .read_file("/tmp/note", Some(user), 1000)
            .await
            .unwrap();
        assert_eq!(note.read_to_end().await.unwrap(), b"seen\n", "the control");
    }
}
