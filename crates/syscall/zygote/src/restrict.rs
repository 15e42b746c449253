//! What a process of a zygote gives up.

use crate::call::{self, Errno};
use crate::helper::{At, Failure};
use crate::message::{MAX_GROUPS, Received, Step};
use crate::number;

/// The sandboxes' system-call filter, in the zygote's memory.
#[derive(Debug, Clone, Copy)]
pub struct FilterProgram {
    filter: call::Filter,
}

impl FilterProgram {
    /// Takes instructions as Linux wants them: `struct sock_filter`, eight bytes each. `None` for a
    /// program that is empty or too long to be one.
    ///
    /// # Safety
    /// `count` instructions are at `first` for as long as the process lives.
    #[must_use]
    pub unsafe fn new(first: *const u64, count: usize) -> Option<Self> {
        let length = u16::try_from(count).ok().filter(|length| *length != 0)?;
        Some(Self {
            filter: call::Filter { length, first },
        })
    }
}

/// Sets the resource limits. No hard limit rises: what the zygote has is what there is.
///
/// # Errors
/// The step.
pub fn limit(received: &Received<'_>) -> Result<(), Failure> {
    for number in 0..received.limits() {
        let wanted = received.limit(number);
        let [_, most] = call::limit(wanted.resource).at(Step::Limits)?;
        let hard = wanted.hard.min(most);
        let limit = [wanted.soft.min(hard), hard];
        call::set_limit(wanted.resource, limit).at(Step::Limits)?;
    }
    Ok(())
}

/// Becomes the user, in the sandbox's ids; keeps all capabilities.
///
/// # Errors
/// The step.
pub fn become_user(received: &Received<'_>) -> Result<(), Failure> {
    let mut groups = [0; MAX_GROUPS];
    for (number, group) in groups.iter_mut().enumerate().take(received.groups()) {
        *group = received.group(number);
    }
    let groups = groups.get(..received.groups()).unwrap_or_default();
    call::set_groups(groups).at(Step::Identity)?;
    call::set_group(received.gid()).at(Step::Identity)?;
    // Entering a user namespace fills the bounding set.
    for capability in (0..64).filter(|number| received.bounding() & (1 << number) == 0) {
        match call::drop_bounding(capability) {
            // Linux has no capability of this number, nor of a higher one.
            Err(Errno(number::EINVAL)) => break,
            other => other.at(Step::Bounding)?,
        };
    }
    call::set_user(received.uid()).at(Step::Identity)?;
    Ok(())
}

/// Puts the process under the filter, for which it needs its capabilities, and gives those up.
/// Becoming another user did not: the zygote's user is nobody in the sandbox, and Linux takes
/// capabilities only from who was root.
///
/// # Errors
/// The step.
pub fn give_up(received: &Received<'_>, program: &FilterProgram) -> Result<(), Failure> {
    call::clear_ambient().at(Step::Capabilities)?;
    // SAFETY: the instructions are there, as `FilterProgram::new` was promised.
    unsafe { call::filter(&program.filter) }.at(Step::Filter)?;
    call::set_capabilities(received.capabilities()).at(Step::Capabilities)?;
    Ok(())
}
