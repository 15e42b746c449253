//! What travels between processes: envd messages, Connect framing, the spawner's protocol.
//!
//! Shapes and pure functions only: nothing here reads, writes, waits or decides.
//!
//! | What | File |
//! |---|---|
//! | recorded commands | [`commands`] |
//! | frames, codes and errors of Connect RPC | [`connect`] |
//! | asking the agent for a connection to a port | [`dial`] |
//! | messages of the agent's services and routes | [`envd`] |
//! | what the engine and its spawner say to each other | [`spawner`] |
//! | interpreters that the host supplies an agent with | [`supply`] |
//! | what a spawner and a zygote say to each other | [`zygote`] |

pub mod commands;
pub mod connect;
pub mod dial;
pub mod envd;
pub mod spawner;
pub mod supply;
pub mod zygote;
