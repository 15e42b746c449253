//! Which stages a file has, and what each is built from.

use super::error::{DockerfileError, Problem};
use super::flags::Flags;
use super::lines::Line;
use super::parsed;
use super::variables::{self, Replacer, Variables};
use super::{Options, Platform, pairs};
use crate::steps::{Base, MAX_STAGES};
use parse_dockerfile::{FromInstruction, Instruction};
use soulbox_model::TemplateName;

/// What FROM says before the name of one of this machine's templates.
const TEMPLATE: &str = "template:";

/// A file with its stages.
pub(super) struct Read<'a> {
    pub(super) file: String,
    pub(super) replacer: Replacer<'a>,
    /// The arguments before the first FROM.
    pub(super) global: Variables,
    pub(super) stages: Vec<Head>,
    pub(super) target: usize,
}

/// A stage before its instructions are looked at.
pub(super) struct Head {
    pub(super) name: Option<String>,
    pub(super) base: Base,
    /// The line of its FROM.
    pub(super) line: u32,
    pub(super) lines: Vec<Line>,
}

/// Finds the stages in a file's instructions.
pub(super) fn read<'a>(
    file: &str,
    lines: Vec<Line>,
    escape: char,
    options: &'a Options,
) -> Result<Read<'a>, DockerfileError> {
    let mut replacer = Replacer::new(options, escape);
    let wanted = options.target.as_deref().unwrap_or("default");
    let mut global = variables::of_platform(&options.platform, wanted);
    let mut stages: Vec<Head> = Vec::new();
    for line in lines {
        let masked = parsed::masked(&line);
        let at = |problem: Problem| problem.at(file, line.number);
        // An empty entry point is one that is taken away, which the parser does not know.
        if !is_empty_entrypoint(&line.text) {
            match parsed::parse(&masked).map_err(at)? {
                Instruction::From(from) => {
                    let head =
                        head(&from, &line, &mut replacer, &global, &stages, options).map_err(at)?;
                    stages.push(head);
                    continue;
                }
                Instruction::Arg(arg) if stages.is_empty() => {
                    global_argument(&arg.arguments.value, &line, &mut replacer, &mut global)
                        .map_err(at)?;
                    continue;
                }
                _ => {}
            }
        }
        match stages.last_mut() {
            Some(stage) => stage.lines.push(line),
            None => {
                return Err(Problem::new("an instruction stands before the first FROM")
                    .help("begin with FROM; only ARG may stand before it")
                    .at(file, line.number));
            }
        }
    }
    if stages.is_empty() {
        return Err(Problem::new("there is no FROM")
            .help("begin with what the template is built from, such as FROM debian:12")
            .at(file, 0));
    }
    let target = target(file, options, &stages)?;
    Ok(Read {
        file: file.to_owned(),
        replacer,
        global,
        stages,
        target,
    })
}

/// Whether an instruction is `ENTRYPOINT []`.
pub(super) fn is_empty_entrypoint(text: &str) -> bool {
    let (name, arguments) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    let inside = arguments
        .trim()
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    name.eq_ignore_ascii_case("ENTRYPOINT") && inside.is_some_and(|inside| inside.trim().is_empty())
}

fn global_argument(
    text: &str,
    line: &Line,
    replacer: &mut Replacer<'_>,
    global: &mut Variables,
) -> Result<(), Problem> {
    for (name, default) in pairs::declarations(text)? {
        let before = global.get(&name).map(str::to_owned);
        let value = replacer.argument(
            line.number,
            &name,
            default.as_deref(),
            global,
            before.as_deref(),
        )?;
        if let Some(value) = value {
            global.set_argument(&name, &value);
        }
    }
    Ok(())
}

fn head(
    from: &FromInstruction<'_>,
    line: &Line,
    replacer: &mut Replacer<'_>,
    global: &Variables,
    before: &[Head],
    options: &Options,
) -> Result<Head, Problem> {
    if before.len() == MAX_STAGES {
        return Err(Problem::new(format!("more than {MAX_STAGES} stages")));
    }
    let mut flags = Flags::new("FROM", &from.options);
    if let Some(platform) = flags.one("platform")? {
        let platform = replacer.word(line.number, &platform, global)?;
        check_platform(&platform, &options.platform)?;
    }
    flags.end()?;
    let image = replacer.word(line.number, &from.image.value, global)?;
    if image.trim().is_empty() {
        return Err(
            Problem::new(format!("FROM {} is nothing", from.image.value))
                .help("give the ARG before it a default, or its value with --build-arg"),
        );
    }
    let name = from.as_.as_ref().map(|(_, name)| name.value.to_string());
    if let Some(name) = &name {
        check_name(name)?;
    }
    let base = match position(before, &image) {
        _ if image == "scratch" => Base::Scratch,
        Some(stage) => Base::Stage(stage),
        None => match image.strip_prefix(TEMPLATE) {
            Some(template) => {
                Base::Template(template.parse::<TemplateName>().map_err(|error| {
                    Problem::new(format!("{template:?} names no template: {error}"))
                        .help("soulbox template ls tells which there are")
                })?)
            }
            None => Base::Image {
                reference: image,
                auth: None,
            },
        },
    };
    Ok(Head {
        name,
        base,
        line: line.number,
        lines: Vec::new(),
    })
}

/// The last stage of that name.
fn position(stages: &[Head], name: &str) -> Option<usize> {
    stages.iter().rposition(|stage| {
        stage
            .name
            .as_deref()
            .is_some_and(|known| known.eq_ignore_ascii_case(name))
    })
}

/// The stage that `--from` names, by name or number, among those before `current`.
pub(super) fn source(
    stages: &[Head],
    current: usize,
    name: &str,
) -> Result<Option<usize>, Problem> {
    let before = &stages[..current];
    if let Some(stage) = position(before, name) {
        return Ok(Some(stage));
    }
    if let Ok(number) = name.parse::<usize>() {
        return match number < current {
            true => Ok(Some(number)),
            false => Err(
                Problem::new(format!("there is no stage {number} before this one"))
                    .help("stages count from 0; a name is safer: FROM … AS name"),
            ),
        };
    }
    match position(&stages[current..], name) {
        Some(_) => Err(
            Problem::new(format!("stage {name} does not come before this one")).help("move it up"),
        ),
        None => Ok(None),
    }
}

fn target(file: &str, options: &Options, stages: &[Head]) -> Result<usize, DockerfileError> {
    let Some(wanted) = &options.target else {
        return Ok(stages.len() - 1);
    };
    if let Some(stage) = position(stages, wanted) {
        return Ok(stage);
    }
    match wanted.parse::<usize>() {
        Ok(number) if number < stages.len() => Ok(number),
        _ => {
            let names: Vec<&str> = stages
                .iter()
                .filter_map(|stage| stage.name.as_deref())
                .collect();
            let help = match names.is_empty() {
                true => "no stage has a name: FROM … AS name gives one".to_owned(),
                false => format!("there are: {}", names.join(", ")),
            };
            Err(Problem::new(format!("there is no stage {wanted:?}"))
                .help(help)
                .at(file, 0))
        }
    }
}

fn check_name(name: &str) -> Result<(), Problem> {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic());
    let rest = chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    match first && rest && name != "scratch" {
        true => Ok(()),
        false => Err(Problem::new(format!("{name:?} cannot be a stage's name"))
            .help("it begins with a letter and goes on with letters, digits, -, _ and .")),
    }
}

fn check_platform(wanted: &str, own: &Platform) -> Result<(), Problem> {
    let lower = wanted.to_ascii_lowercase();
    let (os, arch) = lower.split_once('/').unwrap_or((own.os, &lower));
    let arch = match arch {
        "x86_64" | "x86-64" | "amd64" => "amd64",
        "aarch64" | "arm64" | "arm64/v8" => "arm64",
        other => other,
    };
    match os == own.os && arch == own.arch {
        true => Ok(()),
        false => Err(
            Problem::new(format!("there is nothing to run {wanted} on")).help(format!(
                "sandboxes here run {}/{}: remove --platform",
                own.os, own.arch
            )),
        ),
    }
}
