//! RUN, COPY and ADD.

use super::error::Problem;
use super::flags::Flags;
use super::heredoc::{self, Heredoc};
use super::lines::Line;
use super::mounts::Written;
use super::translate::{Planner, State, absolute, command};
use super::{mode, parsed, stages};
use crate::steps::{Command, Copy, CopyFrom, Place, Run, RunMount, StepKind};
use parse_dockerfile::{AddInstruction, CopyInstruction, RunInstruction, Source, UnescapedString};

/// Where a RUN finds its here-document if that is a script of its own.
const SCRIPTS: &str = "/run/pipes";

pub(super) fn run(
    planner: &mut Planner<'_>,
    stage: usize,
    line: &Line,
    state: &State,
    run: &RunInstruction<'_>,
) -> Result<StepKind, Problem> {
    let mut flags = Flags::new("RUN", &run.options);
    let network = match flags.one("network")?.as_deref() {
        None | Some("default") => true,
        Some("none") => false,
        Some(other) => {
            return Err(
                Problem::new(format!("RUN --network={other} is not supported"))
                    .help("a sandbox has a network of its own: default, or none"),
            );
        }
    };
    match flags.one("security")?.as_deref() {
        None | Some("sandbox") => {}
        Some(other) => {
            return Err(
                Problem::new(format!("RUN --security={other} is not supported"))
                    .help("a build has the rights of a sandbox; remove it"),
            );
        }
    }
    let mut mounts = Vec::new();
    for text in flags.all("mount")? {
        let mut replace = |word: &str| planner.word(line, word, state);
        let written = Written::parse(&text, &mut replace)?;
        let from = match written.from() {
            None => CopyFrom::Context,
            Some(name) => source(planner, stage, name)?,
        };
        mounts.push(written.mount(from, &|path| absolute(&state.workdir, path))?);
    }
    flags.end()?;
    let Some(mut command) = command(&run.arguments) else {
        return Err(Problem::new("RUN has no command"));
    };
    if let Command::Shell(text) = &command
        && !line.heredocs.is_empty()
    {
        command = with_heredocs(text, &line.heredocs, &mut mounts)?;
    }
    Ok(StepKind::Run(Run {
        command,
        user: None,
        env: planner.read.replacer.of_run(&state.variables)?,
        mounts,
        network,
    }))
}

/// A command with here-documents: one alone is the command itself, or a program if it says by
/// which to run it; others are the shell's to read.
fn with_heredocs(
    text: &str,
    heredocs: &[Heredoc],
    mounts: &mut Vec<RunMount>,
) -> Result<Command, Problem> {
    if let [only] = heredocs
        && heredoc::of_word(text).is_some()
    {
        let content = only.chomped();
        if !content.starts_with("#!") {
            return Ok(Command::Shell(content));
        }
        let name = only.name.clone();
        if name.contains('/') || name.starts_with('.') {
            return Err(Problem::new(format!("a script cannot be called {name:?}"))
                .help("end it with a plain word such as EOF"));
        }
        let target = format!("{SCRIPTS}/{name}");
        mounts.push(RunMount::Bind {
            from: CopyFrom::Inline { name, content },
            source: "/".to_owned(),
            target: target.clone(),
        });
        return Ok(Command::Exec(vec![target]));
    }
    let mut full = text.to_owned();
    for heredoc in heredocs {
        full.push('\n');
        full.push_str(&heredoc.content);
        full.push_str(&heredoc.name);
    }
    full.push('\n');
    Ok(Command::Shell(full))
}

/// What `--from` names.
fn source(planner: &Planner<'_>, stage: usize, name: &str) -> Result<CopyFrom, Problem> {
    if name.contains('$') {
        return Err(Problem::new("--from cannot hold variables")
            .help("name a stage: FROM … AS name, and --from=name"));
    }
    if name.is_empty() || name == "scratch" {
        return Err(Problem::new(format!(
            "there is nothing to copy from {name:?}"
        )));
    }
    Ok(match stages::source(&planner.read.stages, stage, name)? {
        Some(stage) => CopyFrom::Stage(stage),
        None => CopyFrom::Image(name.to_owned()),
    })
}

pub(super) fn copy(
    planner: &mut Planner<'_>,
    stage: usize,
    line: &Line,
    state: &State,
    copy: &CopyInstruction<'_>,
) -> Result<Vec<StepKind>, Problem> {
    let mut flags = Flags::new("COPY", &copy.options);
    let from = match flags.one("from")? {
        None => CopyFrom::Context,
        Some(name) => source(planner, stage, &name)?,
    };
    if flags.switch("parents")? {
        return Err(Problem::new("COPY --parents is not supported")
            .help("copy each directory to where it belongs"));
    }
    let common = common(planner, line, state, &mut flags, &copy.dest)?;
    flags.end()?;
    let Sources { paths, heredocs } = sources(planner, line, state, &copy.src)?;
    check_destination("COPY", &common.place, paths.len() + heredocs.len())?;
    if from != CopyFrom::Context && !heredocs.is_empty() {
        return Err(Problem::new("COPY --from cannot take a here-document")
            .help("write it in a COPY of its own"));
    }
    let mut kinds = inline(heredocs, &common);
    if !paths.is_empty() {
        kinds.push(StepKind::Copy(Copy {
            from,
            sources: paths,
            excludes: common.excludes,
            place: common.place,
            unpack: false,
        }));
    }
    Ok(kinds)
}

pub(super) fn add(
    planner: &mut Planner<'_>,
    line: &Line,
    state: &State,
    add: &AddInstruction<'_>,
) -> Result<Vec<StepKind>, Problem> {
    let mut flags = Flags::new("ADD", &add.options);
    let checksum = match flags.one("checksum")? {
        None => None,
        Some(checksum) => Some(check_checksum(&planner.word(line, &checksum, state)?)?),
    };
    let unpack = match flags.one("unpack")?.as_deref() {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(other) => {
            return Err(Problem::new(format!(
                "--unpack={other} is neither true nor false"
            )));
        }
    };
    let common = common(planner, line, state, &mut flags, &add.dest)?;
    flags.end()?;
    let Sources { paths, heredocs } = sources(planner, line, state, &add.src)?;
    check_destination("ADD", &common.place, paths.len() + heredocs.len())?;
    if let Some(git) = paths.iter().find(|path| is_git(path)) {
        return Err(
            Problem::new(format!("ADD {git} is a repository, which is not supported"))
                .help("use RUN git clone"),
        );
    }
    let (urls, paths): (Vec<String>, Vec<String>) =
        paths.into_iter().partition(|path| is_url(path));
    if checksum.is_some() && (urls.len() != 1 || !paths.is_empty() || !heredocs.is_empty()) {
        return Err(
            Problem::new("--checksum is for one URL alone").help("write an ADD for each URL")
        );
    }
    if unpack == Some(true) && !urls.is_empty() {
        return Err(Problem::new("ADD --unpack of a URL is not supported")
            .help("use RUN curl URL | tar -x"));
    }
    let mut kinds = inline(heredocs, &common);
    kinds.extend(urls.into_iter().map(|url| StepKind::AddUrl {
        url,
        place: common.place.clone(),
        checksum: checksum.clone(),
    }));
    if !paths.is_empty() {
        kinds.push(StepKind::Copy(Copy {
            from: CopyFrom::Context,
            sources: paths,
            excludes: common.excludes,
            place: common.place,
            unpack: unpack.unwrap_or(true),
        }));
    }
    Ok(kinds)
}

/// What COPY and ADD say alike.
struct Common {
    place: Place,
    excludes: Vec<String>,
}

fn common(
    planner: &mut Planner<'_>,
    line: &Line,
    state: &State,
    flags: &mut Flags,
    to: &UnescapedString<'_>,
) -> Result<Common, Problem> {
    let owner = match flags.one("chown")? {
        None => None,
        Some(owner) => {
            let owner = planner.word(line, &owner, state)?;
            if owner.is_empty() || owner.starts_with(':') {
                return Err(Problem::new(format!("--chown={owner} names no user"))
                    .help("write user or user:group, names or numbers"));
            }
            Some(owner)
        }
    };
    let mode = match flags.one("chmod")? {
        None => None,
        Some(text) => Some(mode(&planner.word(line, &text, state)?)?),
    };
    // What it changes is how layers are kept, which is not the author's business here.
    flags.switch("link")?;
    let excludes = flags.all("exclude")?;
    let excludes = excludes
        .iter()
        .map(|pattern| planner.word(line, pattern, state))
        .collect::<Result<_, _>>()?;
    let mut to = planner.word(line, &to.value, state)?;
    // Docker takes these for directories whatever is there.
    if to.is_empty() || to == "." {
        to = "./".to_owned();
    }
    Ok(Common {
        place: Place { to, owner, mode },
        excludes,
    })
}

struct Sources {
    paths: Vec<String>,
    heredocs: Vec<CopyFrom>,
}

fn sources(
    planner: &mut Planner<'_>,
    line: &Line,
    state: &State,
    sources: &[Source<'_>],
) -> Result<Sources, Problem> {
    let mut found = Sources {
        paths: Vec::new(),
        heredocs: Vec::new(),
    };
    for source in sources {
        let Source::Path(path) = source else {
            return Err(Problem::new(
                "a here-document stands where none is expected",
            ));
        };
        let word = parsed::unmasked(&path.value);
        let Some(heredoc) = parsed::heredoc_of(&word, &line.heredocs) else {
            let path = planner.word(line, &word, state)?;
            if path.is_empty() {
                return Err(Problem::new(format!("the source {word} is empty"))
                    .help("is its variable set?"));
            }
            found.paths.push(path);
            continue;
        };
        let mut content = heredoc.chomped();
        if heredoc.expand {
            content = planner
                .read
                .replacer
                .text(line.number, &content, &state.variables)?;
        }
        found.heredocs.push(CopyFrom::Inline {
            name: heredoc.name.clone(),
            content,
        });
    }
    Ok(found)
}

fn inline(heredocs: Vec<CopyFrom>, common: &Common) -> Vec<StepKind> {
    let copies = heredocs.into_iter().map(|from| {
        StepKind::Copy(Copy {
            sources: match &from {
                CopyFrom::Inline { name, .. } => vec![name.clone()],
                _ => Vec::new(),
            },
            from,
            excludes: Vec::new(),
            place: common.place.clone(),
            unpack: false,
        })
    });
    copies.collect()
}

fn check_destination(instruction: &str, place: &Place, sources: usize) -> Result<(), Problem> {
    match sources > 1 && !place.to.ends_with('/') {
        true => Err(Problem::new(format!(
            "{instruction} of several sources goes to a directory, and {} may be a file",
            place.to
        ))
        .help(format!("write {}/", place.to))),
        false => Ok(()),
    }
}

fn is_url(path: &str) -> bool {
    path.starts_with("http://") || path.starts_with("https://")
}

fn is_git(path: &str) -> bool {
    let repository = path.split('#').next().unwrap_or(path).trim_end_matches('/');
    path.starts_with("git@")
        || path.starts_with("git://")
        || path.starts_with("ssh://")
        || (is_url(path) && repository.ends_with(".git"))
}

fn check_checksum(checksum: &str) -> Result<String, Problem> {
    match checksum.strip_prefix("sha256:") {
        Some(hex) if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
            Ok(checksum.to_ascii_lowercase())
        }
        _ => Err(
            Problem::new(format!("--checksum={checksum} is no checksum"))
                .help("write sha256: and 64 hexadecimal digits"),
        ),
    }
}
