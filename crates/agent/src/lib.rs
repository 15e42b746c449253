//! The program inside a sandbox: PID 1, processes, terminals and files.
