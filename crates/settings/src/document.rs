//! `docs/settings.md`, written from the declarations.

use crate::load::{SettingError, Settings};
use std::fmt::Write;

const HEAD: &str = "\
# Settings

<!-- Made by `cargo xtask docs` from crates/settings. Do not edit. -->

A setting can be given in four ways; the first that is there wins:

1. a flag, where a verb has one (`soulbox run --memory 2G`)
2. a variable (`SOULBOX_SANDBOX_MEMORY=2G`); an empty one counts as not set
3. `soulbox.toml`
4. the default

`soulbox.toml` is the file named by `--config` or by `SOULBOX_CONFIG`, else the first that exists of
`$XDG_CONFIG_HOME/soulbox/soulbox.toml` (`~/.config/soulbox/soulbox.toml`) and
`/etc/soulbox/soulbox.toml`. It is never looked for in the working directory: a checkout that
somebody else wrote must not be able to change the limits of what runs in it. A key that no setting
has is an error. A variable that begins with `SOULBOX_` and belongs to no setting is told by
`soulbox config show` and by `soulbox doctor`.

`soulbox config show` prints every setting, its value and where the value came from.

Sizes: `512`, `64K`, `512M`, `1.5G` (powers of 1024). Lengths of time: `30` (seconds), `500ms`, `90s`,
`5m`, `2h`. Lists: `a,b` in variables and flags, `[\"a\", \"b\"]` in the file. Defaults are those of root.
";

/// The page as Markdown.
///
/// # Errors
/// [`SettingError`] when a default is refused by its own declaration.
pub fn markdown() -> Result<String, SettingError> {
    let settings = Settings::with(&[])?;
    let mut page = HEAD.to_owned();
    let mut section = None;
    for entry in &settings.entries {
        let of = entry.key.split_once('.').map_or("", |(section, _)| section);
        if section.replace(of) != Some(of) {
            let title = match of {
                "" => "Directories".to_owned(),
                _ => format!("[{of}]"),
            };
            let _ = writeln!(page, "\n## {title}\n");
            page.push_str("| Key | Variable | Default | Accepted | What it is |\n");
            page.push_str("|---|---|---|---|---|\n");
        }
        let _ = writeln!(
            page,
            "| `{}` | `{}` | {} | {} | {} |",
            entry.key,
            entry.variable,
            match entry.default.as_str() {
                "" => "none".to_owned(),
                text => format!("`{text}`"),
            },
            match entry.accepted.as_str() {
                "" => entry.kind.to_owned(),
                words => format!("{}: {words}", entry.kind),
            },
            entry.about.trim(),
        );
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_a_row_with_words() {
        let page = markdown().unwrap();
        for entry in &Settings::with(&[]).unwrap().entries {
            let row = page
                .lines()
                .find(|line| line.contains(&format!("| `{}` |", entry.key)));
            assert!(row.is_some_and(|row| row.len() > 60), "{}", entry.key);
        }
    }
}
