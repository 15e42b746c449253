//! What commands get in the sandboxes of a template where they do not say it themselves.

use soulbox_image::layers::PROGRAM_DIRECTORIES;
use soulbox_image::record::TemplateRecord;
use soulbox_wire::envd::http::InitRequest;
use std::collections::BTreeMap;

/// What an agent takes for the default without being told: its user, that user's home, and the variables.
const OWN: (&str, &str, (&str, &str)) = ("user", "/home/user", ("LANG", "C.UTF-8"));

/// What the agent of a sandbox must be told of its template: nothing that it takes for the default anyway, so
/// that most sandboxes need not be told anything.
pub(super) fn of(record: &TemplateRecord) -> InitRequest {
    let path = PROGRAM_DIRECTORIES.join(":");
    let own = |name: &str, value: &str| (name, value) == OWN.2 || (name, value) == ("PATH", &*path);
    let told = record.env.iter().filter(|(name, value)| !own(name, value));
    let mut init = InitRequest::default();
    add(
        &mut init,
        told.map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    );
    init.default_user = (record.user != OWN.0).then(|| record.user.clone());
    let workdir = record.workdir.as_ref().map(|path| path.to_string_lossy());
    let home = record.user == OWN.0 && workdir.as_deref() == Some(OWN.1);
    init.default_workdir = workdir.filter(|_| !home).map(std::borrow::Cow::into_owned);
    init
}

/// Adds variables to those that are told; they count more.
pub(super) fn add(init: &mut InitRequest, variables: BTreeMap<String, String>) {
    if !variables.is_empty() {
        init.env_vars.get_or_insert_default().extend(variables);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by a panic")]
mod tests {
    use super::*;
    use soulbox_image::layers::Layers;
    use soulbox_image::measure::TreeSize;

    #[test]
    fn what_an_agent_knows_it_is_not_told() {
        let layers = Layers {
            rootfs: "/nowhere".into(),
            ..Layers::default()
        };
        let name = "some".parse().unwrap();
        let mut record = TemplateRecord::new(name, &layers, TreeSize::default());
        assert_eq!(of(&record), InitRequest::default());
        record.workdir = Some("/home/user".into());
        assert_eq!(of(&record), InitRequest::default());
        record.env.insert("A".to_owned(), "b".to_owned());
        record.user = "root".to_owned();
        let told = InitRequest {
            env_vars: Some([("A".to_owned(), "b".to_owned())].into()),
            default_user: Some("root".to_owned()),
            default_workdir: Some("/home/user".to_owned()),
        };
        assert_eq!(of(&record), told);
    }
}
