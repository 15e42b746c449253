//! Whose file, and which: what the query of `/files` says.

use crate::account::Account;
use crate::path;
use crate::reply::Failure;
use crate::request::parse_query;
use crate::state::Agent;
use hyper::{StatusCode, Uri};
use std::path::PathBuf;
use std::rc::Rc;

/// The query of a request to `/files`.
pub(crate) struct Target {
    pub(crate) account: Rc<Account>,
    /// As written; absent when the query has none.
    pub(crate) path: Option<String>,
}

impl Target {
    /// Reads the query. The signature in it is the gateway's affair.
    pub(crate) fn read(agent: &Agent, uri: &Uri) -> Result<Self, Failure> {
        let query = parse_query(uri.query().unwrap_or_default());
        let query = query.ok_or_else(|| Failure::bad_request("query is not valid UTF-8"))?;
        let value = |wanted: &str| {
            let field = query.iter().find(|(name, _)| name == wanted);
            field.map(|(_, value)| value.clone())
        };
        let account = account(agent, value("username").as_deref())?;
        Ok(Self {
            account,
            path: value("path"),
        })
    }

    /// The absolute path of `written`.
    pub(crate) fn resolve(&self, agent: &Agent, written: &str) -> Result<PathBuf, Failure> {
        resolve(agent, &self.account, written)
    }
}

/// The user called `name`, or the default one when it is absent or empty.
pub(crate) fn account(agent: &Agent, name: Option<&str>) -> Result<Rc<Account>, Failure> {
    let name = name.filter(|name| !name.is_empty());
    agent
        .account(name)
        .map_err(|error| Failure::new(StatusCode::UNAUTHORIZED, error.message))
}

/// The absolute path that `written` means for `account`.
pub(crate) fn resolve(agent: &Agent, account: &Account, written: &str) -> Result<PathBuf, Failure> {
    let settings = agent.settings.borrow();
    path::resolve(written, account, settings.default_workdir.as_deref())
        .map_err(|error| Failure::bad_request(error.to_string()))
}
