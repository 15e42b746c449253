//! What an image's config says about the sandboxes of a template that is made of it.

use super::config::ImageConfig;
use crate::layers::Layers;
use crate::measure::TreeSize;
use crate::record::{Start, TemplateRecord};
use soulbox_model::TemplateName;
use std::path::{Path, PathBuf};

/// The longest file of accounts that is read.
const MAX_PASSWD: u64 = 1 << 20;
const ROOT: &str = "root";
/// The most variables of an image.
const MAX_ENV: usize = 1000;
/// The most words of a command.
const MAX_WORDS: usize = 1000;
/// Programs that wait for somebody who types when they are started without arguments. They are what
/// base images run, and of no use where nobody types.
const INTERACTIVE: [&str; 12] = [
    "sh", "bash", "ash", "dash", "zsh", "fish", "python", "python3", "node", "irb", "jshell",
    "ghci",
];

/// The record of a template that is made of an image, whose files are in `layers`.
pub fn record_of(
    name: TemplateName,
    config: &ImageConfig,
    layers: &Layers,
    size: TreeSize,
) -> TemplateRecord {
    let process = &config.config;
    let mut record = TemplateRecord::new(name, layers, size);
    for text in process.env.iter().take(MAX_ENV) {
        if let Some((name, value)) = text.split_once('=')
            && !name.is_empty()
            && !text.contains('\0')
        {
            record.env.insert(name.to_owned(), value.to_owned());
        }
    }
    // Processes of images run as root unless these say otherwise, and count on it.
    record.user = user_of(&process.user, layers).unwrap_or_else(|| ROOT.to_owned());
    let workdir = Path::new(&process.working_dir);
    if workdir.is_absolute() && workdir != Path::new("/") && !process.working_dir.contains('\0') {
        record.workdir = Some(PathBuf::from(workdir));
    }
    record.start = start_of(&process.entrypoint, &process.cmd);
    record
}

/// The name of the account that an image's processes run as; `None`: it says none, or one that is
/// not there, or root.
fn user_of(said: &str, layers: &Layers) -> Option<String> {
    let user = said.split(':').next().unwrap_or_default();
    if user.is_empty() || user == ROOT || user == "0" {
        return None;
    }
    let accounts = layers.read(Path::new("/etc/passwd"), MAX_PASSWD).ok()?;
    // The name or the number in the third place.
    let account = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (name == user || id == user).then(|| name.to_owned())
    });
    account.filter(|name| !name.is_empty())
}

/// What runs from the start.
fn start_of(entrypoint: &[String], cmd: &[String]) -> Option<Start> {
    let words = entrypoint.iter().chain(cmd);
    let command: Vec<String> = words.take(MAX_WORDS).cloned().collect();
    let last = cmd.first().or(command.first())?;
    let program = Path::new(last).file_name()?.to_str()?;
    // Entry points of base images run what follows them.
    let waits = command.len() <= 2 && cmd.len() <= 1 && INTERACTIVE.contains(&program);
    if waits || command.iter().any(|word| word.contains('\0')) {
        return None;
    }
    Some(Start {
        command,
        ready: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::config::Process;
    use std::fs;

    fn of(process: Process, passwd: &str) -> TemplateRecord {
        let ground = tempfile::tempdir().unwrap();
        fs::create_dir(ground.path().join("etc")).unwrap();
        fs::write(ground.path().join("etc/passwd"), passwd).unwrap();
        let layers = Layers {
            rootfs: ground.path().to_owned(),
            below: Vec::new(),
            usr: None,
        };
        let config = ImageConfig {
            config: process,
            ..ImageConfig::default()
        };
        let size = TreeSize::default();
        record_of("x".parse().unwrap(), &config, &layers, size)
    }

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_an_image_says_is_in_the_record() {
        let process = Process {
            user: "101:nginx".into(),
            env: vec!["PATH=/x".into(), "odd".into(), "=y".into(), "A=b=c".into()],
            working_dir: "/srv".into(),
            entrypoint: words("/entry.sh"),
            cmd: words("serve --all"),
            ..Process::default()
        };
        let record = of(
            process,
            "root:x:0:0::/root:/bin/sh\nnginx:x:101:101::/:/bin/sh\n",
        );
        assert_eq!(record.user, "nginx");
        assert_eq!(record.workdir.as_deref(), Some(Path::new("/srv")));
        assert_eq!(record.env["PATH"], "/x");
        assert_eq!(record.env["A"], "b=c");
        assert!(!record.env.contains_key("odd") && !record.env.contains_key(""));
        let start = record.start.unwrap().command;
        assert_eq!(start, words("/entry.sh serve --all"));
    }

    #[test]
    fn an_image_that_says_nothing_runs_as_root() {
        for user in ["", "0", "root", "0:0", "nobody-there", "4242"] {
            let process = Process {
                user: user.into(),
                working_dir: "/".into(),
                ..Process::default()
            };
            let record = of(process, "root:x:0:0::/root:/bin/sh\n");
            assert_eq!(
                (record.user.as_str(), record.workdir),
                ("root", None),
                "{user}"
            );
        }
    }

    #[test]
    fn nobody_starts_what_waits_for_typing() {
        let start = |entrypoint: &str, cmd: &str| start_of(&words(entrypoint), &words(cmd));
        for (entrypoint, cmd) in [
            ("", ""),
            ("", "bash"),
            ("", "/bin/sh"),
            ("docker-entrypoint.sh", "node"),
            ("python3", ""),
        ] {
            assert_eq!(start(entrypoint, cmd), None, "{entrypoint} {cmd}");
        }
        for (entrypoint, cmd) in [
            ("docker-entrypoint.sh", "redis-server"),
            ("", "nginx -g daemon"),
            ("python3", "app.py"),
            ("sh", "-c x"),
        ] {
            assert!(start(entrypoint, cmd).is_some(), "{entrypoint} {cmd}");
        }
    }
}
