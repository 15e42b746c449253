//! All contexts of the sandbox, and what they are made of.

use crate::kernels::context::Context;
use crate::kernels::spec::{Spec, SpecError, Specs, canonical};
use crate::kernels::supply::{Spares, wait_for_another};
use crate::limits;
use crate::random;
use crate::state::Agent;
use soulbox_wire::connect::RpcError;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Languages whose contexts are there from the beginning, as in E2B's sandboxes.
const FIRST: [&str; 2] = ["python", "javascript"];

/// Why there is no such context.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TableError {
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error("there are {0} contexts already, delete some")]
    Full(usize),
    #[error("{0}")]
    User(#[from] RpcError),
    #[error("cannot have a random id: {0}")]
    Random(#[from] rustix::io::Errno),
}

/// The contexts of the sandbox.
#[derive(Default)]
pub(crate) struct Kernels {
    pub(super) spares: Spares,
    /// Bytes of code that wait in all contexts together.
    pub(super) waiting_code: Cell<usize>,
    specs: RefCell<Specs>,
    /// In the order in which they were made.
    contexts: RefCell<Vec<Rc<Context>>>,
    /// The contexts of requests that name a language only.
    defaults: RefCell<BTreeMap<String, Rc<Context>>>,
    begun: Cell<bool>,
}

impl Kernels {
    /// The names of the kernels that there are. The first time, the contexts that are always there
    /// are made, without a process.
    pub(crate) fn begin(&self, agent: &Rc<Agent>) -> Vec<String> {
        if self.begun.get() {
            return self.specs.borrow().names();
        }
        self.specs.borrow_mut().refresh();
        let specs: Vec<Rc<Spec>> = self.specs.borrow().usable().cloned().collect();
        self.begun.set(!specs.is_empty());
        for language in FIRST {
            // One that cannot be made now is made, or refused, when it is asked for.
            let _ = self.default(agent, language);
        }
        for spec in specs.iter().filter(|spec| spec.eager) {
            wait_for_another(agent, spec);
        }
        self.specs.borrow().names()
    }

    /// The kernel of a language.
    fn spec(&self, language: &str) -> Result<Rc<Spec>, SpecError> {
        let name = canonical(language);
        let known = self.specs.borrow().find(&name);
        known.or_else(|_| {
            self.specs.borrow_mut().refresh();
            self.specs.borrow().find(&name)
        })
    }

    /// All contexts, the newest last.
    pub(crate) fn all(&self) -> Vec<Rc<Context>> {
        self.contexts.borrow().clone()
    }

    /// The context with an id.
    pub(crate) fn find(&self, id: &str) -> Option<Rc<Context>> {
        let contexts = self.contexts.borrow();
        contexts.iter().find(|context| context.id == id).cloned()
    }

    /// The context of requests that name a language only.
    pub(crate) fn default(
        &self,
        agent: &Rc<Agent>,
        language: &str,
    ) -> Result<Rc<Context>, TableError> {
        let name = canonical(language);
        if let Some(context) = self.defaults.borrow().get(&name) {
            return Ok(Rc::clone(context));
        }
        let context = self.make(agent, language, None)?;
        self.defaults.borrow_mut().insert(name, Rc::clone(&context));
        Ok(context)
    }

    /// Makes a context, without a process yet.
    pub(crate) fn make(
        &self,
        agent: &Rc<Agent>,
        language: &str,
        cwd: Option<String>,
    ) -> Result<Rc<Context>, TableError> {
        let spec = self.spec(language)?;
        if self.contexts.borrow().len() >= limits::CONTEXTS {
            return Err(TableError::Full(limits::CONTEXTS));
        }
        let cwd = match cwd {
            Some(cwd) => cwd,
            None => agent.account(None)?.home.clone(),
        };
        let context = Rc::new(Context::new(agent, spec, random::uuid()?, cwd));
        self.contexts.borrow_mut().push(Rc::clone(&context));
        Ok(context)
    }

    /// Ends a context for good. The next request that names its language only makes a new one.
    pub(crate) fn delete(&self, context: &Rc<Context>) {
        let is_other = |other: &Rc<Context>| !Rc::ptr_eq(other, context);
        self.contexts.borrow_mut().retain(is_other);
        self.defaults
            .borrow_mut()
            .retain(|_, other| is_other(other));
        context.delete();
    }
}
