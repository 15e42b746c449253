//! `soulbox bench`: measures this machine. One file for each question; every figure is printed as
//! a table or as one JSON object with the machine and its load, so that it can be compared.
//!
//! | What | File |
//! |---|---|
//! | how long until a sandbox is ready | [`create`] |
//! | whole runs, one after another and side by side | [`run`] |
//! | a command in a live sandbox | [`exec`] |
//! | memory of idle sandboxes | [`memory`] |
//! | where writes go, and how well limits hold | [`disk`] |
//! | what is left after many cycles | [`leak`] |
//! | how exactly limits hold | [`limits`] |
//! | what a sandbox notices of a bad neighbour | [`bombs`] |
//! | what the walls cost each system call | [`walls`] |
//! | the server, with its clients in another process | [`serve`] |
//! | what the way to a port of a sandbox costs | [`proxy`] |
//! | what would have waited, of arrivals that are played back | [`pools`] |
//! | code in a fresh sandbox each, by many users | [`execute`] |
//! | cells in contexts that keep their state, code that keeps none | [`kernels`] |
//! | images of a registry, pulled | [`image`] |
//! | all of it beside figures that others published | [`reference`] |
//! | other tools in the same run | [`baseline`] |
//! | figures, the machine, the engines | [`report`], [`machine`], [`bed`] |
//! | a connection, all processes of a server | [`talk`], [`service`] |

mod baseline;
mod bed;
mod bombs;
mod create;
mod disk;
mod exec;
mod execute;
mod image;
mod kernels;
mod leak;
mod limits;
mod machine;
mod memory;
mod pools;
mod proxy;
mod reference;
mod report;
mod run;
mod serve;
mod service;
mod talk;
mod walls;

use crate::cli::Global;
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::signal::Stop;
use crate::terminal;
use clap::Subcommand;
use report::Report;

/// Flags of `soulbox bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    question: Question,
}

/// Flags of every question.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// The template
    #[arg(short, long, value_name = "NAME", default_value = "host")]
    template: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// How long until a sandbox is ready: fresh, from pools, parked
    Create(create::Args),
    /// Whole runs: create, run a program, destroy; each alone and side by side
    Run(run::Args),
    /// A command in a live sandbox
    Exec(exec::Args),
    /// The memory of idle sandboxes
    Memory(memory::Args),
    /// Where writes go: each storage under many sandboxes at once
    Disk(disk::Args),
    /// What is left behind after many cycles
    Leak(leak::Args),
    /// How exactly the limits of processor time, memory and time hold
    Limits(limits::Args),
    /// How long a command takes while a neighbour does its worst
    Bombs(bombs::Args),
    /// What the walls cost each system call
    Walls(walls::Args),
    /// The server: its answers, what goes through it, its memory
    Serve(Box<serve::Args>),
    /// Code in a fresh sandbox each, by so many users at once
    Execute(execute::Args),
    /// Cells in contexts that keep their state: at the agent and through the server
    Kernels(kernels::Args),
    /// Images of a registry: time, memory and cores of a pull, packed by gzip and by zstd
    Image(image::Args),
    /// Everything beside the figures that others published, as JSON, Markdown and a page with plots
    Reference(reference::Args),
    /// What the way to a port of a sandbox costs each request
    Proxy(proxy::Args),
    /// Arrivals of weeks, played back: what would have waited in pools of a fixed size and in those that follow
    Pools(pools::Args),
}

/// Measures and prints.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let json = match &args.question {
        Question::Create(args) => args.common.json,
        Question::Run(args) => args.common.json,
        Question::Exec(args) => args.common.json,
        Question::Memory(args) => args.common.json,
        Question::Disk(args) => args.common.json,
        Question::Leak(args) => args.common.json,
        Question::Limits(args) => args.common.json,
        Question::Bombs(args) => args.common.json,
        Question::Walls(args) => args.common.json,
        Question::Serve(args) => args.common.json,
        Question::Proxy(args) => args.common.json,
        Question::Execute(args) => args.common.json,
        Question::Kernels(args) => args.common.json,
        Question::Reference(args) => args.common.json,
        Question::Image(args) => args.json,
        Question::Pools(args) => args.json,
    };
    if let Question::Walls(args) = &args.question
        && let Some(behind) = args.behind()
    {
        walls::tell(behind)?;
        return Ok(Exit::SUCCESS);
    }
    if let Question::Serve(args) = &args.question
        && args.is_bare()
    {
        engine::runtime()?.block_on(serve::be_bare())?;
        return Ok(Exit::SUCCESS);
    }
    if let Question::Proxy(args) = &args.question
        && let Some(done) = args.be_part()
    {
        return done.map(|()| Exit::SUCCESS);
    }
    if let Question::Image(args) = &args.question
        && let Some(done) = args.be_registry()
    {
        return done.map(|()| Exit::SUCCESS);
    }
    if let Question::Execute(args) = &args.question
        && let Some(done) = args.be_part()
    {
        return done.map(|()| Exit::SUCCESS);
    }
    if let Question::Leak(args) = &args.question
        && args.is_engine()
    {
        engine::runtime()?.block_on(leak::be_engine(global, args))?;
        return Ok(Exit::SUCCESS);
    }
    if let Question::Leak(args) = &args.question
        && args.kills()
    {
        // It waits for processes rather than for events, and ends at once on Ctrl-C: the engine
        // that it started ends with its stdin.
        return show(&leak::measure_kills(global, args)?, json);
    }
    let runtime = engine::runtime()?;
    let done = runtime.block_on(async {
        let stop = Stop::listen()?;
        tokio::select! {
            done = measure(global, &args.question) => done,
            () = stop.wait() => Err(Failure::new(Exit::KILLED, "ended on request")),
        }
    });
    runtime.shutdown_background();
    show(&done?, json)
}

fn show(report: &Report, json: bool) -> Result<Exit, Failure> {
    if json {
        terminal::print_json(report)?;
    } else {
        terminal::print(&report.page())?;
    }
    Ok(if report.passed() {
        Exit::SUCCESS
    } else {
        Exit::NO
    })
}

async fn measure(global: &Global, question: &Question) -> Result<Report, Failure> {
    match question {
        Question::Create(args) => create::measure(global, args).await,
        Question::Run(args) => run::measure(global, args).await,
        Question::Exec(args) => exec::measure(global, args).await,
        Question::Memory(args) => memory::measure(global, args).await,
        Question::Disk(args) => disk::measure(global, args).await,
        Question::Leak(args) => leak::measure(global, args).await,
        Question::Limits(args) => limits::measure(global, args).await,
        Question::Bombs(args) => bombs::measure(global, args).await,
        Question::Walls(args) => walls::measure(global, args).await,
        Question::Serve(args) => serve::measure(global, args).await,
        Question::Proxy(args) => proxy::measure(args).await,
        Question::Execute(args) => execute::measure(global, args).await,
        Question::Kernels(args) => kernels::measure(global, args).await,
        Question::Reference(args) => reference::measure(global, args).await,
        Question::Image(args) => image::measure(global, args).await,
        Question::Pools(args) => pools::measure(args),
    }
}
