//! Output of the code, passed on as it comes.

use bytes::Bytes;
use soulbox_node::execute::{Channel, Sink};
use std::io;
use tokio::io::{AsyncWriteExt, Stderr, Stdout};

/// Passes output on to our own stdout and stderr.
pub(super) struct Passing {
    stdout: Stdout,
    stderr: Stderr,
}

impl Default for Passing {
    fn default() -> Self {
        Self {
            stdout: tokio::io::stdout(),
            stderr: tokio::io::stderr(),
        }
    }
}

impl Sink for Passing {
    async fn write(&mut self, channel: Channel, bytes: Bytes) -> io::Result<()> {
        match channel {
            Channel::Stdout => {
                self.stdout.write_all(&bytes).await?;
                self.stdout.flush().await
            }
            Channel::Stderr => {
                self.stderr.write_all(&bytes).await?;
                self.stderr.flush().await
            }
        }
    }
}
