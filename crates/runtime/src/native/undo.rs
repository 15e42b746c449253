//! What is taken is given back, in reverse.

use soulbox_wire::spawner::Failure;

/// The undos of what was taken, the last one first.
///
/// Every step that takes something pushes its undo right after it succeeded. [`Undo::run`]
/// gives everything back; a failed undo is told and does not keep the others from running.
#[derive(Default)]
pub(super) struct Undo {
    steps: Vec<Step>,
}

type Action = Box<dyn FnOnce() -> Result<(), rustix::io::Errno>>;

struct Step {
    name: String,
    action: Action,
}

impl Undo {
    /// Pushes the undo of a step that succeeded; `name` says what is given back.
    pub(super) fn push(
        &mut self,
        name: impl Into<String>,
        action: impl FnOnce() -> Result<(), rustix::io::Errno> + 'static,
    ) {
        self.steps.push(Step {
            name: name.into(),
            action: Box::new(action),
        });
    }

    /// Gives everything back and tells what could not be.
    pub(super) fn run(&mut self) -> Vec<Failure> {
        let mut problems = Vec::new();
        while let Some(step) = self.steps.pop() {
            if let Err(errno) = (step.action)() {
                problems.push(Failure {
                    step: step.name,
                    errno: errno.raw_os_error(),
                });
            }
        }
        problems
    }
}

impl Drop for Undo {
    /// An undo that nobody ran is run here, so that no path can forget it.
    fn drop(&mut self) {
        self.run();
    }
}

impl std::fmt::Debug for Undo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.steps.iter().map(|step| &step.name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;
    use std::cell::RefCell;
    use std::rc::Rc;

    #[test]
    fn undos_run_in_reverse_and_a_failure_stops_none() {
        let order = Rc::new(RefCell::new(Vec::new()));
        let mut undo = Undo::default();
        for n in 0..3 {
            let order = Rc::clone(&order);
            undo.push(format!("step {n}"), move || {
                order.borrow_mut().push(n);
                if n == 1 { Err(Errno::BUSY) } else { Ok(()) }
            });
        }
        let problems = undo.run();
        assert_eq!(*order.borrow(), [2, 1, 0]);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].step, "step 1");
        assert_eq!(undo.run().len(), 0);
    }

    #[test]
    fn a_forgotten_undo_runs_when_dropped() {
        let ran = Rc::new(RefCell::new(false));
        let mut undo = Undo::default();
        let seen = Rc::clone(&ran);
        undo.push("step", move || {
            *seen.borrow_mut() = true;
            Ok(())
        });
        drop(undo);
        assert!(*ran.borrow());
    }
}
