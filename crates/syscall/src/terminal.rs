//! Pseudo-terminals.

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Result;
use rustix::process::Uid;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

/// The two sides of a pseudo-terminal, both closed when a program is executed.
#[derive(Debug)]
pub struct Terminal {
    /// The side that stands for the screen and the keyboard; non-blocking.
    pub master: OwnedFd,
    /// The side that a program reads and writes.
    pub slave: OwnedFd,
}

/// Makes a pseudo-terminal of `columns` × `rows` characters.
///
/// # Errors
/// Linux's own, see `pty(7)`; `ENOSPC` when there are no more of them.
pub fn open(columns: u16, rows: u16) -> Result<Terminal> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags)?;
    rustix::pty::unlockpt(&master)?;
    // By descriptor and not by name: no /dev/pts of somebody's making is walked.
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    resize(&master, columns, rows)?;
    rustix::io::ioctl_fionbio(&master, true)?;
    Ok(Terminal { master, slave })
}

/// Changes a terminal's size; the programs on it are told by `SIGWINCH`.
///
/// # Errors
/// Linux's own, see `TIOCSWINSZ`.
pub fn resize(master: impl AsFd, columns: u16, rows: u16) -> Result<()> {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(master, size)
}

/// Makes `owner` the owner of a terminal's file, so that programs of theirs can open it by name.
///
/// # Errors
/// Linux's own, see `fchown(2)`.
pub fn give(slave: impl AsFd, owner: Uid) -> Result<()> {
    rustix::fs::fchown(slave, Some(owner), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_its_size_and_carries_bytes() {
        let terminal = open(100, 30).unwrap();
        let size = rustix::termios::tcgetwinsize(&terminal.slave).unwrap();
        assert_eq!((size.ws_col, size.ws_row), (100, 30));
        resize(&terminal.master, 7, 5).unwrap();
        let size = rustix::termios::tcgetwinsize(&terminal.slave).unwrap();
        assert_eq!((size.ws_col, size.ws_row), (7, 5));
        rustix::io::write(&terminal.slave, b"hello").unwrap();
        let mut buffer = [0; 16];
        let read = rustix::io::read(&terminal.master, &mut buffer).unwrap();
        assert_eq!(buffer.get(..read), Some(&b"hello"[..]));
    }
}
