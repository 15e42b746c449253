//! Where output goes.

use bytes::Bytes;
use std::io;

/// One of the two streams that a program prints on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How much was printed on each stream, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Printed {
    /// On standard output.
    pub stdout: u64,
    /// On standard error.
    pub stderr: u64,
}

impl Printed {
    /// The count of one stream.
    pub fn of(&mut self, channel: Channel) -> &mut u64 {
        match channel {
            Channel::Stdout => &mut self.stdout,
            Channel::Stderr => &mut self.stderr,
        }
    }
}

/// Where output goes, piece by piece. The program waits while a piece is taken.
pub trait Sink: Send {
    /// Takes a piece.
    fn write(
        &mut self,
        channel: Channel,
        bytes: Bytes,
    ) -> impl Future<Output = io::Result<()>> + Send;
}

/// What was printed, kept in memory up to the limit of the run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capture {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Sink for Capture {
    async fn write(&mut self, channel: Channel, bytes: Bytes) -> io::Result<()> {
        match channel {
            Channel::Stdout => self.stdout.extend_from_slice(&bytes),
            Channel::Stderr => self.stderr.extend_from_slice(&bytes),
        }
        Ok(())
    }
}
