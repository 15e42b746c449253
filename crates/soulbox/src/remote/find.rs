//! Ids of sandboxes: whole, or their beginning while that is enough to tell them apart.

use super::Server;
use crate::exit::Exit;
use crate::failure::Failure;
use soulbox_client::RemoteError;
use soulbox_client::sandboxes::Met;
use soulbox_model::SandboxId;

/// From here on it is taken for a whole id.
const LONG: usize = 20;

/// How many ids are told that begin alike.
const SHOWN: usize = 5;

/// The sandbox whose id is `text`, or alone begins with it.
///
/// # Errors
/// There is none, or more than one; or the server does not answer.
pub(crate) async fn sandbox(server: &Server, text: &str) -> Result<Met, Failure> {
    let id = parse(text)?;
    match server.meet(&id).await {
        Err(error) if error.is_not_found() => {}
        met => return met.map_err(Failure::from),
    }
    let all = server.list().await.map_err(Failure::from)?;
    let ids = all.into_iter().map(|listed| listed.sandbox_id);
    let whole = choose(&id, &ids.collect::<Vec<_>>())?;
    server.meet(&whole).await.map_err(Failure::from)
}

/// The id of a sandbox that lives, or ended not long ago.
///
/// # Errors
/// As [`sandbox`].
pub(crate) async fn known(server: &Server, text: &str) -> Result<SandboxId, Failure> {
    let id = parse(text)?;
    match server.meet(&id).await {
        Err(error) if error.is_not_found() => {}
        met => return Ok(met?.sandbox_id),
    }
    let live = server.list().await?;
    let ended = server.ended().await?;
    let word = |ended: &serde_json::Value| ended.get("sandboxID")?.as_str()?.parse().ok();
    let mut ids: Vec<SandboxId> = live.into_iter().map(|listed| listed.sandbox_id).collect();
    ids.extend(ended.iter().filter_map(word));
    // One that ended long ago is in no list, but may be remembered.
    match choose(&id, &ids) {
        Err(failure) if failure.exit == Exit::NOT_FOUND && text.len() > LONG => Ok(id),
        chosen => chosen,
    }
}

/// The ids of all sandboxes that `texts` mean, each once.
///
/// # Errors
/// As [`sandbox`], for the first that is wrong.
pub(crate) async fn ids(server: &Server, texts: &[String]) -> Result<Vec<SandboxId>, Failure> {
    let mut found = Vec::new();
    for text in texts {
        let id = sandbox(server, text).await?.sandbox_id;
        if !found.contains(&id) {
            found.push(id);
        }
    }
    Ok(found)
}

/// The id as it may be put into a path.
///
/// # Errors
/// It cannot be one.
pub(crate) fn parse(text: &str) -> Result<SandboxId, Failure> {
    text.parse().map_err(|error| {
        Failure::of(Exit::NOT_FOUND, &error).help("`soulbox ps` lists the sandboxes")
    })
}

fn choose(begun: &SandboxId, all: &[SandboxId]) -> Result<SandboxId, Failure> {
    let fits = |id: &&SandboxId| id.as_str().starts_with(begun.as_str());
    let fitting: Vec<_> = all.iter().filter(fits).collect();
    match fitting.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(absent(begun, all)),
        many => {
            let shown: Vec<_> = many.iter().take(SHOWN).map(|id| id.as_str()).collect();
            let dots = if many.len() > SHOWN { ", …" } else { "" };
            let what = format!(
                "{begun} is the beginning of {} ids: {}{dots}",
                many.len(),
                shown.join(", ")
            );
            Err(Failure::new(Exit::USAGE, what).help("write more of it"))
        }
    }
}

fn absent(id: &SandboxId, all: &[SandboxId]) -> Failure {
    let error = RemoteError::Refused {
        status: http::StatusCode::NOT_FOUND,
        message: format!("there is no sandbox {id}"),
    };
    let near = soulbox_model::nearest(id.as_str(), all.iter().map(SandboxId::as_str));
    Failure::from(error).help(match near {
        Some(near) => format!("did you mean {near}?"),
        None => "`soulbox ps` lists the sandboxes".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_enough_while_it_is_alone() {
        let all = || {
            ["iabc1", "iabc2", "ixyz"]
                .map(|id| id.parse().unwrap())
                .to_vec()
        };
        let ask = |text: &str| choose(&text.parse().unwrap(), &all());
        assert_eq!(ask("ix").unwrap().as_str(), "ixyz");
        let many = ask("iabc").unwrap_err();
        assert_eq!(many.exit, Exit::USAGE);
        assert!(many.text(false).contains("iabc1, iabc2"), "{many:?}");
        let none = ask("ixyy").unwrap_err();
        assert_eq!(none.exit, Exit::NOT_FOUND);
        assert!(none.text(false).contains("did you mean ixyz?"), "{none:?}");
        assert_eq!(parse("../x").unwrap_err().exit, Exit::NOT_FOUND);
    }
}
