//! The terminal that the program was started in.

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use soulbox_wire::envd::process::PtySize;
use std::io;

/// A terminal that passes every key on; as it was again when this is dropped.
pub(super) struct Raw(Termios);

impl Raw {
    pub(super) fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// The size of the window; none when stdout is no terminal.
pub(super) fn size() -> Option<PtySize> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    Some(PtySize {
        cols: size.ws_col.into(),
        rows: size.ws_row.into(),
    })
}
