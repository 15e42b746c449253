//! What an engine has its spawner write down of a sandbox, for an engine that comes after it.

use crate::storage::LayerMark;
use serde::{Deserialize, Serialize};
use soulbox_model::{SandboxId, SandboxSpec, TemplateName};
use soulbox_wire::spawner::MAX_NOTE;

/// The longest note of whoever asked for a sandbox, in bytes.
pub(crate) const LONGEST: usize = 1024;

/// A note that is too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a sandbox's note has {0} bytes; it may have {LONGEST}")]
pub struct TooLong(pub usize);

/// What a sandbox is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// Its id.
    pub(crate) id: SandboxId,
    /// What it was made from.
    pub(crate) template: TemplateName,
    /// What it was asked to be; only of one that can be taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) spec: Option<SandboxSpec>,
    /// Its writable layer, where giving that back takes work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) layer: Option<LayerMark>,
    /// What whoever asked for it wants to be told again.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) callers: String,
}

impl Note {
    /// Of a sandbox that ends with its engine.
    pub(crate) fn new(id: SandboxId, template: TemplateName) -> Self {
        Self {
            id,
            template,
            spec: None,
            layer: None,
            callers: String::new(),
        }
    }

    /// Notes what is needed to take it over.
    pub(crate) fn take_over(&mut self, spec: &SandboxSpec, layer: Option<LayerMark>) {
        self.spec = Some(spec.clone());
        self.layer = layer;
        if self.text().len() + 6 * LONGEST > MAX_NOTE
            && let Some(spec) = &mut self.spec
        {
            // They are there, whatever is known of them later.
            spec.mounts = Vec::new();
        }
    }

    /// Notes what whoever asked for it wants to be told again.
    pub(crate) fn set_callers(&mut self, text: &str) -> Result<(), TooLong> {
        if text.len() > LONGEST {
            return Err(TooLong(text.len()));
        }
        text.clone_into(&mut self.callers);
        Ok(())
    }

    /// As it is written down.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use soulbox_model::{ByteSize, Isolation, Limits, Mount, NetworkMode};

    #[test]
    fn a_note_always_fits_and_comes_back_whole() {
        let mount = Mount {
            host: "/a".repeat(100).into(),
            guest: "/b".repeat(100).into(),
            read_only: true,
        };
        for count in [0, 3, 100] {
            let spec = SandboxSpec {
                template: TemplateName::host(),
                isolation: Isolation::Namespace,
                limits: Limits::usual(1000, ByteSize::gib(1), 10, ByteSize::gib(1)),
                network: NetworkMode::None,
                mounts: vec![mount.clone(); count],
            };
            let mut note = Note::new("a1".parse().unwrap(), TemplateName::host());
            note.take_over(&spec, None);
            note.set_callers(&"\u{1}".repeat(LONGEST)).unwrap();
            let text = note.text();
            assert!(text.len() <= MAX_NOTE, "{}", text.len());
            assert_eq!(serde_json::from_str::<Note>(&text).unwrap(), note);
            let kept = note.spec.as_ref().map(|spec| spec.mounts.len());
            assert_eq!(kept, Some(if count < 100 { count } else { 0 }));
            let long = note.set_callers(&"x".repeat(LONGEST + 1));
            assert_eq!(long, Err(TooLong(LONGEST + 1)));
        }
    }

    #[test]
    fn what_earlier_and_later_versions_write_is_read() {
        let old = r#"{"id":"a1","template":"host"}"#;
        assert_eq!(serde_json::from_str::<Note>(old).unwrap().text(), old);
        let new = r#"{"id":"a1","template":"host","unheard_of":1}"#;
        assert_eq!(serde_json::from_str::<Note>(new).unwrap().text(), old);
    }
}
