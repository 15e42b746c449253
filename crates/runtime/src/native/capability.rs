//! The capabilities of root in a sandbox.

use super::policy::CAPABILITIES;
use super::step::{Step, StepError};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

/// What the policy keeps.
pub const KEPT: CapabilitySet = kept();

const fn kept() -> CapabilitySet {
    let mut bits = 0;
    let mut at = 0;
    while at < CAPABILITIES.len() {
        if CAPABILITIES[at].keep {
            bits |= 1 << CAPABILITIES[at].number;
        }
        at += 1;
    }
    CapabilitySet::from_bits_retain(bits)
}

/// Leaves the calling thread, and whatever it starts, the capabilities of the policy and no way
/// to others: bounding, permitted and effective sets are the policy's, the inheritable and the
/// ambient set are empty (a filled inheritable set would hand capabilities to programs that the
/// sandbox's root did not mean to trust with them: CVE-2022-24769).
///
/// The caller is root in a user namespace of its own and has all capabilities there.
///
/// # Errors
/// Linux's own, see capabilities(7); [`Errno::PERM`] also when the sets read back are not those
/// that were set.
pub fn apply() -> Result<(), StepError> {
    narrow_bounding_set(KEPT).step(|| "narrow the capability bounding set".to_owned())?;
    clear_ambient_capability_set().step(|| "clear the ambient capabilities".to_owned())?;
    let wanted = CapabilitySets {
        effective: KEPT,
        permitted: KEPT,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, wanted).step(|| "set the capabilities".to_owned())?;
    let got = capabilities(None).step(|| "read the capabilities back".to_owned())?;
    let held = if got == wanted {
        Ok(())
    } else {
        Err(Errno::PERM)
    };
    held.step(|| format!("give up capabilities: {got:?} are left"))
}

/// Drops what is not kept, up to the last capability that Linux knows, be it newer than the policy.
pub(super) fn narrow_bounding_set(kept: CapabilitySet) -> Result<(), Errno> {
    let all = (0..u64::BITS).map(|number| CapabilitySet::from_bits_retain(1 << number));
    for capability in all.filter(|capability| !kept.contains(*capability)) {
        match remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // Linux knows no capability of this number, nor of a higher one.
            Err(Errno::INVAL) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
