//! Reading what a process writes.

use crate::limits;
use crate::process::record::{Channel, Process};
use crate::state::Agent;
use bytes::Bytes;
use rustix::io::Errno;
use soulbox_wire::envd::output::{Output, data_frame};
use std::task::{Context, Poll};

/// One output of a process: a pipe's read end, or a terminal's master.
pub(crate) struct Source {
    output: Output,
    channel: Channel,
}

/// What a read brought.
pub(crate) enum Chunk {
    /// Bytes, as a frame if somebody wants one.
    Data { length: usize, frame: Option<Bytes> },
    /// Nothing for now.
    Empty,
    /// The output is over.
    Over,
}

impl Source {
    pub(crate) fn new(output: Output, channel: Channel) -> Self {
        Self { output, channel }
    }

    /// Reads once, without waiting.
    pub(crate) fn read(&self, agent: &Agent, process: &Process, wanted: bool) -> Chunk {
        let mut scratch = agent.scratch.borrow_mut();
        let limit = match self.output {
            Output::Pty => limits::TERMINAL_CHUNK,
            Output::Stdout | Output::Stderr => limits::OUTPUT_CHUNK,
        };
        scratch.clear();
        scratch.reserve(limits::OUTPUT_CHUNK);
        let room = scratch.spare_capacity_mut();
        let room = room.get_mut(..limit).unwrap_or_default();
        match rustix::io::read(self.channel.get_ref(), room) {
            Ok((data, _)) if !data.is_empty() => {
                if let Some(command) = &process.recorded {
                    agent.commands.wrote(command, self.output, data);
                }
                let frame = wanted.then(|| data_frame(self.output, data).into());
                Chunk::Data {
                    length: data.len(),
                    frame,
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => Chunk::Empty,
            // A terminal whose programs are gone answers with EIO.
            Ok(_) | Err(_) => Chunk::Over,
        }
    }
}

/// The outputs of a process: two pipes, or one terminal.
pub(crate) struct Outputs {
    sources: Vec<Source>,
}

impl Outputs {
    pub(crate) fn new(sources: Vec<Source>) -> Self {
        Self { sources }
    }

    pub(crate) fn are_over(&self) -> bool {
        self.sources.is_empty()
    }

    /// The next chunk of any output that is not over yet; never [`Chunk::Over`] while another
    /// one is open. Outputs take turns.
    pub(crate) fn poll_chunk(
        &mut self,
        agent: &Agent,
        process: &Process,
        wanted: bool,
        context: &mut Context<'_>,
    ) -> Poll<Chunk> {
        let mut index = 0;
        while let Some(source) = self.sources.get(index) {
            let mut guard = match source.channel.poll_read_ready(context) {
                Poll::Pending => {
                    index += 1;
                    continue;
                }
                Poll::Ready(Ok(guard)) => guard,
                Poll::Ready(Err(_)) => {
                    self.sources.remove(index);
                    continue;
                }
            };
            match source.read(agent, process, wanted) {
                Chunk::Empty => guard.clear_ready(),
                Chunk::Over => {
                    self.sources.remove(index);
                }
                chunk => {
                    self.sources.rotate_left(index + 1);
                    return Poll::Ready(chunk);
                }
            }
        }
        if self.are_over() {
            Poll::Ready(Chunk::Over)
        } else {
            Poll::Pending
        }
    }

    /// Reads what is there already, up to `limit` bytes in all.
    pub(crate) fn drain(
        &self,
        agent: &Agent,
        process: &Process,
        wanted: bool,
        mut limit: usize,
    ) -> Vec<Bytes> {
        let mut frames = Vec::new();
        for source in &self.sources {
            while limit > 0 {
                let Chunk::Data { length, frame } = source.read(agent, process, wanted) else {
                    break;
                };
                limit = limit.saturating_sub(length);
                frames.extend(frame);
            }
        }
        frames
    }
}
