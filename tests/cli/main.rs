//! The command line, driven as a person drives it. One file for each theme.

#![allow(clippy::expect_used)] // a test that cannot be set up has failed

mod archive;
mod bench;
mod completion;
mod config;
mod disk;

mod dockerfile;
mod doctor;
mod ending;
mod environment;
mod files;
mod help;
mod host;
mod input;
mod json;
mod language;
mod leftover;
mod limits;
mod mount;
mod output;
mod pull;
mod rootless;
mod run;
mod server;
mod shell;
mod survival;
mod template;
mod usage;
