//! `docs/security-policy.md`: the policy as tables, made from `policy/*.toml`.

use serde::Deserialize;
use std::fmt::Write;
use std::fs;

/// The document.
pub(crate) const PATH: &str = "docs/security-policy.md";

const HEAD: &str = include_str!("policy/head.md");

#[derive(Deserialize)]
struct Capabilities {
    capability: Vec<Capability>,
}

#[derive(Deserialize)]
struct Capability {
    name: String,
    keep: bool,
    reason: String,
}

#[derive(Deserialize)]
struct Calls {
    allow: Vec<Rule>,
    check: Vec<Check>,
    refuse: Vec<Refusal>,
    ignore: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    reason: String,
    #[serde(default)]
    calls: Vec<String>,
    #[serde(default)]
    numbers: Vec<i64>,
}

#[derive(Deserialize)]
struct Check {
    reason: String,
    calls: Vec<String>,
    otherwise: String,
    case: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    reason: String,
    #[serde(default = "allow")]
    then: String,
}

fn allow() -> String {
    "allow".to_owned()
}

#[derive(Deserialize)]
struct Refusal {
    answer: String,
    reason: String,
    calls: Vec<String>,
}

#[derive(Deserialize)]
struct Masks {
    mask: Vec<Mask>,
}

#[derive(Deserialize)]
struct Mask {
    path: String,
    kind: String,
    reason: String,
}

#[derive(Deserialize)]
struct Devices {
    device: Vec<Device>,
}

#[derive(Deserialize)]
struct Device {
    name: String,
    reason: String,
}

#[derive(Deserialize)]
struct Egress {
    network: Vec<Network>,
    port: Vec<Port>,
}

#[derive(Deserialize)]
struct Network {
    range: String,
    reason: String,
}

#[derive(Deserialize)]
struct Port {
    protocol: String,
    port: u16,
    reason: String,
}

/// The document as the policy says.
pub(crate) fn document() -> Result<String, String> {
    let mut page = HEAD.to_owned();
    capabilities(&read::<Capabilities>("capabilities")?, &mut page);
    calls(&read("seccomp")?, &mut page);
    let masks = read::<Masks>("masks")?.mask;
    let rows = masks
        .into_iter()
        .map(|mask| [code(&mask.path), mask.kind.replace('_', " "), mask.reason]);
    table("Masks of /proc", ["Path", "How", "Why"], rows, &mut page);
    let devices = read::<Devices>("devices")?.device;
    let rows = devices
        .into_iter()
        .map(|device| [code(&device.name), device.reason]);
    table(
        "Devices",
        ["Name in /dev", "Why it is there"],
        rows,
        &mut page,
    );
    let egress = read::<Egress>("egress")?;
    let ranges = egress
        .network
        .into_iter()
        .map(|network| [code(&network.range), network.reason]);
    let ports = egress.port.into_iter().map(|port| {
        [
            code(&format!("{} {}", port.protocol, port.port)),
            port.reason,
        ]
    });
    table(
        "Where packets may not go",
        ["Range or port", "Why"],
        ranges.chain(ports),
        &mut page,
    );
    Ok(page)
}

fn read<T: for<'d> Deserialize<'d>>(name: &str) -> Result<T, String> {
    let path = format!("policy/{name}.toml");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    toml::from_str(&text).map_err(|error| format!("{path}: {error}"))
}

fn capabilities(all: &Capabilities, page: &mut String) {
    let (kept, gone): (Vec<_>, Vec<_>) = all.capability.iter().partition(|one| one.keep);
    let row = |one: &Capability| [code(&one.name), one.reason.clone()];
    let title = format!("Capabilities that root inside has ({})", kept.len());
    let rows = kept.into_iter().map(row);
    table(&title, ["Capability", "Why"], rows, page);
    let title = format!("Capabilities that nobody inside can have ({})", gone.len());
    table(
        &title,
        ["Capability", "Why not"],
        gone.into_iter().map(row),
        page,
    );
}

fn calls(all: &Calls, page: &mut String) {
    let names = |rule: &Rule| {
        let numbers = rule
            .numbers
            .iter()
            .map(|number| format!("number {number:#x}"));
        let names: Vec<String> = rule.calls.iter().cloned().chain(numbers).collect();
        list(&names)
    };
    let count = |rules: &[Rule]| rules.iter().map(|rule| rule.calls.len()).sum::<usize>();
    let title = format!("System calls that are made ({})", count(&all.allow));
    let rows = all
        .allow
        .iter()
        .map(|rule| [names(rule), rule.reason.clone()]);
    table(&title, ["Calls", "Why"], rows, page);
    let rows = all.check.iter().map(|check| {
        let cases = check
            .case
            .iter()
            .map(|case| format!("**{}**: {}", case.then, case.reason));
        let cases: Vec<String> = cases.collect();
        [
            list(&check.calls),
            format!("{} Otherwise **{}**.", cases.join(" "), check.otherwise),
            check.reason.clone(),
        ]
    });
    table(
        "System calls that depend on their arguments",
        ["Calls", "Cases", "Why"],
        rows,
        page,
    );
    let refused: usize = all.refuse.iter().map(|rule| rule.calls.len()).sum();
    let title = format!("System calls that are refused ({refused})");
    let rows = all
        .refuse
        .iter()
        .map(|rule| [list(&rule.calls), code(&rule.answer), rule.reason.clone()]);
    table(&title, ["Calls", "Answer", "Why"], rows, page);
    let rows = all
        .ignore
        .iter()
        .map(|rule| [names(rule), rule.reason.clone()]);
    table(
        "System calls that are answered and not made",
        ["Calls", "Why"],
        rows,
        page,
    );
    page.push_str(
        "\nA call that no table names is answered with `ENOSYS`. The 32-bit interface ends its caller with \
         SIGSYS; x32 calls are calls that no table names.\n",
    );
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn list(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| code(name)).collect();
    names.join(", ")
}

fn table<const N: usize>(
    title: &str,
    columns: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    page: &mut String,
) {
    let line = |cells: &[String]| format!("| {} |", cells.join(" | ").replace('\n', " "));
    let _ = writeln!(page, "\n## {title}\n");
    let _ = writeln!(page, "{}", line(&columns.map(str::to_owned)));
    let _ = writeln!(page, "|{}", "---|".repeat(N));
    for row in rows {
        let cells = row.map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(page, "{}", line(&cells));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_cannot_break_a_table() {
        let mut page = String::new();
        table(
            "t",
            ["A", "B"],
            [["a|b".to_owned(), "c".to_owned()]].into_iter(),
            &mut page,
        );
        assert_eq!(page, "\n## t\n\n| A | B |\n|---|---|\n| a\\|b | c |\n");
    }
}
