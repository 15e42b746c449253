//! The agent's program. All of it is in the library.

fn main() -> std::process::ExitCode {
    soulbox_agent::run()
}
