//! One life of a context: it gets a process, readies it, and hears it until it is gone.

use crate::kernels::ask::Ask;
use crate::kernels::context::{Context, DIRECTORY, OTHER_VARIABLES, VARIABLES};
use crate::kernels::frame::encode;
use crate::kernels::link::{Link, Listener};
use crate::kernels::machine::{Event, Life};
use crate::kernels::said::Said;
use crate::kernels::supply;
use crate::limits;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Runs for as long as the process lives.
pub(super) async fn run(context: Rc<Context>, life: Life) {
    let process = supply::obtain(&context.agent, &context.spec).await;
    let process = match process {
        Ok(process) if context.is_current(life) => process,
        Ok(process) => return process.kill(),
        Err(error) => {
            *context.failure.borrow_mut() = describe(&context, &error.to_string());
            return context.handle(Event::StartFailed(life));
        }
    };
    let link = Rc::new(Link::new(process));
    context.set_link(Some(Rc::clone(&link)));
    *context.astray.borrow_mut() = None;
    // The kernel reads them as soon as it can.
    let mut requests = context.first_variables();
    let directory = Ask::Cd {
        id: DIRECTORY,
        path: &context.cwd,
    };
    requests.extend(encode(&directory).unwrap_or_default());
    link.send(requests);
    let kernel = Kernel {
        context: &context,
        life,
        is_ready: Cell::new(false),
        pending: RefCell::new(vec![VARIABLES, OTHER_VARIABLES, DIRECTORY]),
    };
    let late = tokio::select! {
        () = link.converse(&kernel) => false,
        () = kernel.is_late() => true,
    };
    // Its socket is closed a moment before it has ended.
    let _ = tokio::time::timeout(limits::KERNEL_EXIT, link.ended()).await;
    link.kill();
    if !context.is_current(life) {
        return;
    }
    context.set_link(None);
    if kernel.serves() {
        return context.handle(Event::Lost(life));
    }
    let words = link.last_words();
    let why = match (late, words.is_empty()) {
        (true, _) => format!(
            "it was not ready after {} s",
            limits::KERNEL_START.as_secs()
        ),
        (_, true) => "it ended before it was ready".to_owned(),
        (_, false) => words,
    };
    *context.failure.borrow_mut() = describe(&context, &why);
    context.handle(Event::StartFailed(life));
}

fn describe(context: &Context, why: &str) -> String {
    format!("kernel '{}' does not start: {why}", context.spec.name)
}

/// One process, as it is heard.
struct Kernel<'a> {
    context: &'a Rc<Context>,
    life: Life,
    is_ready: Cell<bool>,
    /// Requests that are to end before it serves.
    pending: RefCell<Vec<&'static str>>,
}

impl Kernel<'_> {
    fn serves(&self) -> bool {
        self.is_ready.get() && self.pending.borrow().is_empty()
    }

    /// Comes to an end when it takes too long to be ready.
    async fn is_late(&self) {
        tokio::time::sleep(limits::KERNEL_START).await;
        if self.serves() {
            std::future::pending::<()>().await;
        }
    }

    fn prepare(&self, said: &Said<'_>) {
        let id = said.id.as_deref();
        match (&*said.kind, id) {
            ("ready", _) => self.is_ready.set(true),
            ("error", Some(DIRECTORY)) => {
                let text = |field: &Option<String>| field.clone().unwrap_or_default();
                *self.context.astray.borrow_mut() = Some(text(&said.value));
            }
            ("end", Some(id)) => self.pending.borrow_mut().retain(|known| *known != id),
            _ => {}
        }
        if self.serves() {
            self.context.handle(Event::Started(self.life));
        }
    }
}

impl Listener for Kernel<'_> {
    fn hear(&self, frame: &[u8]) {
        let Some(said) = Said::read(frame) else {
            return;
        };
        if !self.serves() {
            return self.prepare(&said);
        }
        let Some(run) = self.context.current_run() else {
            return;
        };
        if said.id.as_deref() != Some(run.id().to_string().as_str()) {
            return;
        }
        if said.kind == "end" {
            return self.context.handle(Event::Ended(self.life));
        }
        let begun = run.has_begun();
        run.hear(&said);
        if !begun && self.context.is_interrupting(run.id()) {
            self.context.signal(run.id());
        }
    }

    fn has_room(&self) -> bool {
        let run = self.context.current_run();
        run.is_none_or(|run| run.has_room())
    }
}
