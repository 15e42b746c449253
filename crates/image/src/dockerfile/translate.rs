//! What each instruction does, as steps.

use super::error::{DockerfileError, Problem, Warning};
use super::lines::Line;
use super::parsed;
use super::stages::{self, Read};
use super::variables::Variables;
use super::{BaseFacts, Options, Planned, files, pairs};
use crate::layers::PROGRAM_DIRECTORIES;
use crate::steps::{Base, Command, CopyFrom, MAX_STEPS, Plan, RunMount, Stage, Step, StepKind};
use parse_dockerfile::{HealthcheckArguments, Instruction};
use std::collections::BTreeMap;

/// What a stage leaves to those that are built from it.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) variables: Variables,
    pub(super) workdir: String,
    onbuild: Vec<Line>,
    /// What CMD has set in this very stage.
    arguments: Option<Command>,
}

/// A stage whose steps are known; stages in it are numbered as in the file.
struct Done {
    steps: Vec<Step>,
    state: State,
}

/// Plans what the wanted stage needs.
pub(super) fn plan(
    read: Read<'_>,
    options: &Options,
    facts: &mut dyn FnMut(&Base) -> Result<BaseFacts, String>,
) -> Result<Planned, DockerfileError> {
    let target = read.target;
    let mut planner = Planner {
        read,
        options,
        facts,
        done: BTreeMap::new(),
    };
    planner.stage(target)?;
    planner.read.replacer.warn_of_unused();
    let Planner { read, done, .. } = planner;
    Ok(Planned {
        plan: numbered(&read, done),
        warnings: read.replacer.warnings,
    })
}

/// The needed stages, numbered anew.
fn numbered(read: &Read<'_>, done: BTreeMap<usize, Done>) -> Plan {
    let new: BTreeMap<usize, usize> = done.keys().copied().zip(0..).collect();
    let number = |old: &mut usize| *old = new.get(old).copied().unwrap_or(*old);
    let mut stages = Vec::new();
    for (old, done) in done {
        let head = &read.stages[old];
        let mut base = head.base.clone();
        if let Base::Stage(stage) = &mut base {
            number(stage);
        }
        let mut steps = done.steps;
        for step in &mut steps {
            for from in sources_mut(&mut step.kind) {
                if let CopyFrom::Stage(stage) = from {
                    number(stage);
                }
            }
        }
        stages.push(Stage {
            name: head.name.clone(),
            base,
            steps,
        });
    }
    // The target needs itself last.
    Plan {
        target: stages.len() - 1,
        stages,
    }
}

fn sources_mut(kind: &mut StepKind) -> Vec<&mut CopyFrom> {
    match kind {
        StepKind::Copy(copy) => vec![&mut copy.from],
        StepKind::Run(run) => run
            .mounts
            .iter_mut()
            .filter_map(|mount| match mount {
                RunMount::Bind { from, .. } => Some(from),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

pub(super) struct Planner<'a> {
    pub(super) read: Read<'a>,
    options: &'a Options,
    facts: &'a mut dyn FnMut(&Base) -> Result<BaseFacts, String>,
    done: BTreeMap<usize, Done>,
}

impl Planner<'_> {
    /// Plans a stage after those that it needs. All of them come before it in the file, so this
    /// ends.
    fn stage(&mut self, index: usize) -> Result<(), DockerfileError> {
        if self.done.contains_key(&index) {
            return Ok(());
        }
        let file = self.read.file.clone();
        let from_line = self.read.stages[index].line;
        let (mut state, onbuild) = self.begin(index, from_line)?;
        let mut steps = Vec::new();
        let own = std::mem::take(&mut self.read.stages[index].lines);
        for line in onbuild.iter().chain(&own) {
            let kinds = self
                .instruction(index, line, &mut state)
                .map_err(|problem| problem.at(&file, line.number))?;
            if steps.len() + kinds.len() > MAX_STEPS {
                return Err(
                    Problem::new(format!("a stage has more than {MAX_STEPS} steps"))
                        .help("join RUN instructions")
                        .at(&file, line.number),
                );
            }
            steps.extend(kinds.into_iter().map(|kind| Step {
                text: line.text.clone(),
                line: Some(line.number),
                kind,
                force: false,
            }));
        }
        let mut needed = Vec::new();
        for step in &mut steps {
            for from in sources_mut(&mut step.kind) {
                if let CopyFrom::Stage(stage) = from {
                    needed.push(*stage);
                }
            }
        }
        if index == self.read.target && !state.onbuild.is_empty() {
            self.warn(
                state.onbuild[0].number,
                "ONBUILD does nothing here: it is for stages that are built from this one",
            );
        }
        self.done.insert(index, Done { steps, state });
        needed.into_iter().try_for_each(|stage| self.stage(stage))
    }

    /// What a stage begins with, and the ONBUILD instructions of its base.
    fn begin(&mut self, index: usize, line: u32) -> Result<(State, Vec<Line>), DockerfileError> {
        let base = self.read.stages[index].base.clone();
        if let Base::Stage(base) = base {
            self.stage(base)?;
            let mut state = self
                .done
                .get(&base)
                .map(|done| done.state.clone())
                .unwrap_or_default();
            let onbuild = std::mem::take(&mut state.onbuild);
            state.arguments = None;
            return Ok((state, onbuild));
        }
        let facts = match base {
            Base::Scratch => BaseFacts::default(),
            _ => (self.facts)(&base)
                .map_err(|error| Problem::new(error).at(&self.read.file, line))?,
        };
        let mut state = State {
            workdir: absolute("/", facts.workdir.as_deref().unwrap_or("/")),
            ..State::default()
        };
        state.variables.set("PATH", &PROGRAM_DIRECTORIES.join(":"));
        for (name, value) in &facts.env {
            state.variables.set(name, value);
        }
        let onbuild = facts.onbuild.into_iter().map(|text| Line {
            number: line,
            text,
            heredocs: Vec::new(),
        });
        Ok((state, onbuild.collect()))
    }

    /// The steps of one instruction; it changes what those after it see.
    fn instruction(
        &mut self,
        stage: usize,
        line: &Line,
        state: &mut State,
    ) -> Result<Vec<StepKind>, Problem> {
        if stages::is_empty_entrypoint(&line.text) {
            return Ok(vec![StepKind::Start(None)]);
        }
        let masked = parsed::masked(line);
        let kind = match parsed::parse(&masked)? {
            Instruction::Run(run) => files::run(self, stage, line, state, &run)?,
            Instruction::Copy(copy) => return files::copy(self, stage, line, state, &copy),
            Instruction::Add(add) => return files::add(self, line, state, &add),
            Instruction::Env(env) => {
                let pairs = self.pairs(line, "ENV", &env.arguments.value, state)?;
                for (name, value) in &pairs {
                    state.variables.set(name, value);
                }
                StepKind::Env(pairs)
            }
            Instruction::Arg(arg) => {
                self.argument(line, &arg.arguments.value, state)?;
                StepKind::Nothing
            }
            Instruction::Workdir(workdir) => {
                let path = self.word(line, &workdir.arguments.value, state)?;
                if path.is_empty() {
                    return Err(Problem::new("WORKDIR is empty").help("give a path"));
                }
                state.workdir = absolute(&state.workdir, &path);
                StepKind::Workdir(state.workdir.clone())
            }
            Instruction::User(user) => {
                let name = self.word(line, &user.arguments.value, state)?;
                if name.is_empty() || name.starts_with(':') || name.contains(char::is_whitespace) {
                    return Err(Problem::new(format!("USER {name:?} names no user"))
                        .help("write a name or a number, with :group if it has another"));
                }
                StepKind::User {
                    name,
                    create: false,
                    sudo: false,
                }
            }
            Instruction::Shell(shell) => {
                let words = shell.arguments.iter().map(|word| word.value.to_string());
                StepKind::Shell(words.collect())
            }
            Instruction::Entrypoint(start) => {
                // It takes away the arguments that the base has, but not those of its own stage.
                let mut kinds = vec![StepKind::Start(command(&start.arguments))];
                let arguments = state.arguments.clone();
                kinds.extend(arguments.map(|own| StepKind::StartArguments(Some(own))));
                return Ok(kinds);
            }
            Instruction::Cmd(arguments) => {
                state.arguments = command(&arguments.arguments);
                StepKind::StartArguments(state.arguments.clone())
            }
            Instruction::Healthcheck(check) => self.healthcheck(line, &check.arguments),
            Instruction::Label(label) => {
                self.pairs(line, "LABEL", &label.arguments.value, state)?;
                StepKind::Nothing
            }
            Instruction::Volume(_) => {
                self.warn(
                    line.number,
                    "VOLUME means nothing here: the directory is part of the template",
                );
                StepKind::Nothing
            }
            Instruction::Onbuild(onbuild) => {
                if let Instruction::From(_) | Instruction::Maintainer(_) | Instruction::Onbuild(_) =
                    *onbuild.instruction
                {
                    return Err(Problem::new("ONBUILD takes neither FROM nor MAINTAINER"));
                }
                let text = line
                    .text
                    .split_once([' ', '\t'])
                    .map_or("", |(_, text)| text);
                state.onbuild.push(Line {
                    text: text.trim_start().to_owned(),
                    ..line.clone()
                });
                StepKind::Nothing
            }
            // What a container shows to the outside and how it is ended: every port of a sandbox
            // can be reached, and it is ended as a whole.
            Instruction::Expose(_) | Instruction::Stopsignal(_) | Instruction::Maintainer(_) => {
                StepKind::Nothing
            }
            Instruction::From(_) => {
                return Err(Problem::new("FROM cannot stand here"));
            }
            _ => {
                return Err(Problem::new("this instruction is not supported").help("remove it"));
            }
        };
        Ok(vec![kind])
    }

    pub(super) fn word(
        &mut self,
        line: &Line,
        word: &str,
        state: &State,
    ) -> Result<String, Problem> {
        self.read.replacer.word(line.number, word, &state.variables)
    }

    /// Pairs with everything replaced by what was there before the instruction.
    fn pairs(
        &mut self,
        line: &Line,
        instruction: &str,
        text: &str,
        state: &State,
    ) -> Result<Vec<(String, String)>, Problem> {
        let mut replaced = Vec::new();
        for (name, value) in pairs::pairs(instruction, text)? {
            let name = self.word(line, &name, state)?;
            if name.is_empty() {
                return Err(Problem::new(format!("{instruction} has an empty name")));
            }
            if instruction == "ENV" && name.contains('=') {
                return Err(Problem::new(format!(
                    "{name:?} cannot be a variable's name"
                )));
            }
            let value = self.word(line, &value, state)?;
            replaced.push((name, value));
        }
        Ok(replaced)
    }

    fn argument(&mut self, line: &Line, text: &str, state: &mut State) -> Result<(), Problem> {
        for (name, default) in pairs::declarations(text)? {
            let global = self.read.global.get(&name);
            let value = self.read.replacer.argument(
                line.number,
                &name,
                default.as_deref(),
                &state.variables,
                global,
            )?;
            if let Some(value) = value {
                state.variables.set_argument(&name, &value);
            }
        }
        Ok(())
    }

    fn healthcheck(&mut self, line: &Line, arguments: &HealthcheckArguments<'_>) -> StepKind {
        if !self.options.healthcheck {
            self.warn(
                line.number,
                "HEALTHCHECK is not used; with --ready-from-healthcheck it tells when the start \
                 command is ready",
            );
            return StepKind::Nothing;
        }
        let HealthcheckArguments::Cmd { arguments, .. } = arguments else {
            return StepKind::Ready(None);
        };
        StepKind::Ready(command(arguments).map(|command| match command {
            Command::Shell(text) => text,
            Command::Exec(words) => {
                let quoted = words
                    .iter()
                    .map(|word| format!("'{}'", word.replace('\'', "'\\''")));
                quoted.collect::<Vec<_>>().join(" ")
            }
        }))
    }

    pub(super) fn warn(&mut self, line: u32, text: &str) {
        self.read.replacer.warnings.push(Warning {
            line,
            text: text.to_owned(),
        });
    }
}

/// A command in the form in which it is written; none if it is empty.
pub(super) fn command(command: &parse_dockerfile::Command<'_>) -> Option<Command> {
    match command {
        parse_dockerfile::Command::Exec(words) => {
            let words: Vec<String> = words
                .value
                .iter()
                .map(|word| word.value.to_string())
                .collect();
            (!words.is_empty()).then_some(Command::Exec(words))
        }
        parse_dockerfile::Command::Shell(text) => {
            let text = parsed::unmasked(text.value);
            (!text.is_empty()).then_some(Command::Shell(text))
        }
        _ => None,
    }
}

/// `path` below `base`, without `.`, `..` and doubled `/`.
pub(super) fn absolute(base: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let base = if path.starts_with('/') { "" } else { base };
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
