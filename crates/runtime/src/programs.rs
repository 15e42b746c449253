//! The embedded programs, built by this crate's build script.

/// The agent: PID 1 of every sandbox. A static ELF program.
pub static AGENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/soulbox-agent"));

/// The spawner, which makes sandboxes. A static ELF program.
pub static SPAWNER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/soulbox-spawner"));

/// The bridge between the agent and kernels of Jupyter, for templates that have such. A static ELF program.
pub static JUPYTER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/soulbox-jupyter"));
