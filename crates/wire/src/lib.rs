//! What travels between processes: envd messages, Connect framing, the spawner's protocol.
