//! A run by the program as people start it, and what it told of its end.

use serde_json::Value;
use soulbox_tests::Soulbox;

/// How a run ended.
pub(crate) struct Told {
    pub(crate) cause: String,
    pub(crate) stdout: String,
    /// All of it, for a failed test.
    pub(crate) all: String,
}

/// Runs code in a sandbox of its own, with these flags.
pub(crate) fn run(
    soulbox: &Soulbox,
    (user, language): (&str, &str),
    flags: &[&str],
    code: &str,
) -> Told {
    let words = [
        "run",
        "--json",
        "--template",
        "host",
        "--user",
        user,
        "-l",
        language,
    ];
    let all = words.iter().chain(flags).chain(&["-c"]).copied();
    let ended = tokio::task::block_in_place(|| soulbox.run(all.chain([code])));
    let told: Value = serde_json::from_slice(&ended.stdout).unwrap_or_default();
    let text = |key: &str| told[key].as_str().unwrap_or("nothing").to_owned();
    Told {
        cause: text("cause"),
        stdout: text("stdout"),
        all: format!("{told:.600} {:.600}", ended.stderr),
    }
}
