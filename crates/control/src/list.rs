//! Listing: filters, order and pages.

use crate::command::SandboxView;
use crate::error::ControlError;
use soulbox_model::{Moment, SandboxId, SandboxRecord, SandboxState, TemplateId, TemplateName};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Which sandboxes are listed. All that is given must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct ListQuery {
    /// Notes that they have.
    pub metadata: BTreeMap<String, String>,
    /// States that they are in; empty: every state of a live one.
    pub states: Vec<SandboxState>,
    /// The template that they are made from: its id, or its name if the server has it.
    pub template: Option<String>,
    /// The earliest start.
    pub started_after: Option<Moment>,
    /// Whether the oldest comes first.
    pub ascending: bool,
    /// How many at most, 1 to [`ListQuery::MOST`].
    pub limit: usize,
    /// Where the page before ended.
    pub after: Option<Cursor>,
}

impl ListQuery {
    /// The longest page.
    pub const MOST: usize = 100;
}

impl Default for ListQuery {
    fn default() -> Self {
        Self {
            metadata: BTreeMap::new(),
            states: Vec::new(),
            template: None,
            started_after: None,
            ascending: false,
            limit: Self::MOST,
            after: None,
        }
    }
}

/// Where a page ended: the start and the id of its last sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    started_at: Moment,
    id: SandboxId,
}

impl Cursor {
    fn of(record: &SandboxRecord) -> Self {
        Self {
            started_at: record.started_at,
            id: record.id.clone(),
        }
    }

    /// Reads what [`Cursor::to_text`] wrote.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] for anything else.
    pub fn parse(text: &str) -> Result<Self, ControlError> {
        let parse = || {
            let (millis, id) = text.split_once('-')?;
            let millis = millis.parse().ok()?;
            Some(Self {
                started_at: Moment::from_millis(millis),
                id: id.parse().ok()?,
            })
        };
        parse().ok_or_else(|| {
            ControlError::invalid("nextToken", "it is none that a page before this one gave")
        })
    }

    /// As text, for whoever asks for the next page.
    pub fn to_text(&self) -> String {
        format!("{}-{}", self.started_at.as_millis(), self.id)
    }
}

/// One page.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its sandboxes.
    pub sandboxes: Vec<SandboxView>,
    /// Where the next one begins; none on the last one.
    pub next: Option<Cursor>,
}

/// Chooses the records of a page, in its order; says whether more follow.
pub(crate) fn choose(
    query: &ListQuery,
    records: Vec<SandboxRecord>,
) -> (Vec<SandboxRecord>, Option<Cursor>) {
    let order = |a: &SandboxRecord, b: &SandboxRecord| -> Ordering {
        let newest_first = (b.started_at, &a.id).cmp(&(a.started_at, &b.id));
        match query.ascending {
            true => (a.started_at, &a.id).cmp(&(b.started_at, &b.id)),
            false => newest_first,
        }
    };
    let after = |record: &SandboxRecord| {
        query.after.as_ref().is_none_or(|cursor| {
            let behind = match query.ascending {
                true => record.started_at.cmp(&cursor.started_at),
                false => cursor.started_at.cmp(&record.started_at),
            };
            behind.then_with(|| record.id.cmp(&cursor.id)) == Ordering::Greater
        })
    };
    let mut chosen: Vec<_> = records
        .into_iter()
        .filter(|record| matches(query, record) && after(record))
        .collect();
    chosen.sort_by(order);
    let more = chosen.len() > query.limit;
    chosen.truncate(query.limit);
    let next = chosen.last().filter(|_| more).map(Cursor::of);
    (chosen, next)
}

/// The id of a template, or its name if the server has it.
fn called(name: &TemplateName) -> String {
    TemplateId::of_build(name).map_or_else(|| name.to_string(), String::from)
}

fn matches(query: &ListQuery, record: &SandboxRecord) -> bool {
    let state = match query.states.is_empty() {
        true => record.is_live(),
        false => query.states.contains(&record.state),
    };
    state
        && query
            .template
            .as_ref()
            .is_none_or(|template| *template == called(&record.template))
        && query
            .started_after
            .is_none_or(|after| record.started_at >= after)
        && query
            .metadata
            .iter()
            .all(|(key, value)| record.metadata.get(key) == Some(value))
}
