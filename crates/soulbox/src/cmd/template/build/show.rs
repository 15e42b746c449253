//! What a person sees of a build in steps: each step as it begins, what it prints, and at the end
//! a table of all.

use crate::terminal::Progress;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::{Value, json};
use soulbox_image::steps::Plan;
use soulbox_node::template::steps::{Happened, StepEvent};
use std::time::Duration;
use tokio::sync::mpsc;

/// How much of a step's text is shown.
const SHOWN: usize = 100;

/// A step that is over.
#[derive(Debug)]
pub(super) struct Row {
    number: String,
    text: String,
    cached: bool,
    took: Duration,
    size: Option<u64>,
}

/// The steps of a build, as they are told.
#[derive(Debug, Default)]
pub(super) struct Shown {
    rows: Vec<Row>,
    current: String,
    cached: bool,
    quiet: bool,
}

impl Shown {
    /// One that shows nothing: what is done has been shown before.
    pub(super) fn quiet() -> Self {
        Self {
            quiet: true,
            ..Self::default()
        }
    }

    /// Shows events until there are no more.
    pub(super) async fn follow(
        &mut self,
        plan: &Plan,
        mut events: mpsc::Receiver<StepEvent>,
        progress: &Progress,
    ) {
        while let Some(event) = events.recv().await {
            if self.quiet {
                continue;
            }
            let number = number(plan, &event);
            for line in self.event(number, event.what, progress) {
                progress.print(&line);
            }
        }
    }

    /// The lines that an event shows.
    fn event(&mut self, number: String, what: Happened, progress: &Progress) -> Vec<String> {
        match what {
            Happened::Began(text) => {
                self.current = short(&text);
                self.cached = false;
                progress.say(&format!("{number} {}", self.current));
                return vec![format!("{number} {}", self.current)];
            }
            Happened::Cached => {
                self.cached = true;
                return vec![format!("{number} CACHED")];
            }
            Happened::Waits => {
                return vec![format!(
                    "{number} another build does the same; waiting for it"
                )];
            }
            Happened::Line(line) => return vec![format!("    {line}")],
            Happened::Progress { percent, text } => {
                progress.say(&format!("{number} {percent} % {text}"));
            }
            Happened::Done { took, size } => self.rows.push(Row {
                number,
                text: self.current.clone(),
                cached: self.cached,
                took,
                size,
            }),
        }
        Vec::new()
    }

    /// The table of all steps.
    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_header(["step", "time", "size", "what"]);
        for row in &self.rows {
            let took = match row.cached {
                true => "cached".to_owned(),
                false => seconds(row.took),
            };
            let size = row.size.map_or_else(String::new, bytes);
            table.add_row([row.number.clone(), took, size, row.text.clone()]);
        }
        table.trim_fmt()
    }

    /// The same for programs.
    pub(super) fn document(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "step": row.number,
                "text": row.text,
                "cached": row.cached,
                "seconds": row.took.as_secs_f64(),
                "size": row.size,
            })
        });
        rows.collect()
    }
}

/// `[2/5]`, with the stage's name where there are several.
fn number(plan: &Plan, event: &StepEvent) -> String {
    let StepEvent {
        stage, step, steps, ..
    } = event;
    if step > steps {
        return "[end]".to_owned();
    }
    let name = match plan.stages.get(*stage) {
        Some(of) if plan.stages.len() > 1 => match &of.name {
            Some(name) => format!("{name} "),
            None => format!("stage {stage} "),
        },
        _ => String::new(),
    };
    format!("[{name}{step}/{steps}]")
}

/// A step's text on one line, as much as a person wants to see of it.
fn short(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn seconds(took: Duration) -> String {
    match took.as_secs() {
        0..10 => format!("{:.2} s", took.as_secs_f64()),
        10..120 => format!("{:.1} s", took.as_secs_f64()),
        whole => format!("{} min {} s", whole / 60, whole % 60),
    }
}

fn bytes(size: u64) -> String {
    match size {
        0..1024 => format!("{size} B"),
        1024..0x10_0000 => format!("{} KiB", size >> 10),
        _ => format!("{} MiB", size >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_image::steps::{Base, Stage};

    fn plan(names: &[Option<&str>]) -> Plan {
        let stages = names.iter().map(|name| Stage {
            name: name.map(str::to_owned),
            base: Base::Scratch,
            steps: Vec::new(),
        });
        Plan {
            stages: stages.collect(),
            target: names.len() - 1,
        }
    }

    #[test]
    fn steps_are_numbered_within_their_stage() {
        let event = |stage, step| StepEvent {
            stage,
            step,
            steps: 5,
            what: Happened::Cached,
        };
        assert_eq!(number(&plan(&[None]), &event(0, 2)), "[2/5]");
        let two = plan(&[Some("build"), None]);
        assert_eq!(number(&two, &event(0, 0)), "[build 0/5]");
        assert_eq!(number(&two, &event(1, 5)), "[stage 1 5/5]");
        assert_eq!(number(&two, &event(1, 6)), "[end]");
    }

    #[test]
    fn the_table_has_what_each_step_took() {
        let progress = Progress::spinner("");
        let mut shown = Shown::default();
        let mut happens = |number: &str, what| shown.event(number.to_owned(), what, &progress);
        let begun = happens(
            "[1/2]",
            Happened::Began(format!("RUN  a\n{}", "b".repeat(200))),
        );
        assert!(begun[0].starts_with("[1/2] RUN a bbb") && begun[0].ends_with('…'));
        assert_eq!(happens("[1/2]", Happened::Line("x".into())), ["    x"]);
        let took = Duration::from_millis(1234);
        happens(
            "[1/2]",
            Happened::Done {
                took,
                size: Some(3 << 20),
            },
        );
        happens("[2/2]", Happened::Began("COPY a b".into()));
        assert_eq!(happens("[2/2]", Happened::Cached), ["[2/2] CACHED"]);
        happens(
            "[2/2]",
            Happened::Done {
                took,
                size: Some(2000),
            },
        );
        let table = shown.table();
        assert!(
            table.contains("1.23 s") && table.contains("3 MiB"),
            "{table}"
        );
        assert!(
            table.contains("cached") && table.contains("1 KiB"),
            "{table}"
        );
        assert_eq!(shown.document()[1]["cached"], true);
    }
}
