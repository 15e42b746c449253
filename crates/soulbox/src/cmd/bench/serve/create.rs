//! Making a sandbox: until the server answers, until it is of use, and many at once.

use super::super::baseline::Baseline;
use super::super::report::{Report, Times};
use super::client::{self, Address, Api, Made};
use super::server::Process;
use super::{Args, Bed, failed, figure};
use crate::cli::Global;
use crate::failure::Failure;
use crate::terminal::{self, Progress};
use bytes::Bytes;
use http::Method;
use soulbox_store::{Operation, SqliteStore, StateStore as _, Transaction};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

/// How many are measured before the next variant has its turn: what disturbs the machine for a while disturbs
/// all of them.
const TURN: u32 = 10;

/// How long the server rests before each: it makes another one ready then, and only when nobody wants anything.
const REST: Duration = Duration::from_millis(30);

/// Bytes of a sandbox's record and of its first event.
const RECORD: (usize, usize) = (600, 120);

/// One server whose creates are measured.
struct Variant {
    api: Api,
    create: Times,
    kill: Times,
    made: u32,
    ready: u32,
}

impl Variant {
    fn new(address: &Address, name: &str) -> Result<Self, Failure> {
        Ok(Self {
            api: Api::new(address),
            create: Times::of(format!("create, {name}"))?,
            kill: Times::of(format!("kill, {name}"))?,
            made: 0,
            ready: 0,
        })
    }

    async fn turn(&mut self, template: &str) -> Result<(), Failure> {
        for _ in 0..TURN {
            tokio::time::sleep(REST).await;
            let begin = Instant::now();
            let made = self.api.create(template).await?;
            self.create.add(begin.elapsed());
            self.made += 1;
            self.ready += u32::from(made.was_ready);
            let begin = Instant::now();
            self.api.kill(&made).await?;
            self.kill.add(begin.elapsed());
        }
        Ok(())
    }
}

/// Creates, one by one, beside what they cannot be quicker than.
pub(super) async fn measure(
    global: &Global,
    bed: &Bed,
    args: &Args,
    report: &mut Report,
) -> Result<(), Failure> {
    let template = &args.common.template;
    let mut variants = vec![Variant::new(&bed.ready, "one was ready")?];
    if let Some(address) = &bed.unready {
        client::wait_until_ready(address, template).await?;
        variants.push(Variant::new(address, "none was ready")?);
    }
    let mut beside = Beside::start(global, bed).await?;
    let progress = Progress::bar("creating through the server", u64::from(args.count));
    for _ in 0..args.count.div_ceil(TURN) {
        for variant in &mut variants {
            variant.turn(template).await?;
        }
        beside.turn().await?;
        progress.advance(u64::from(TURN));
    }
    drop(progress);
    for variant in variants {
        let share = figure(variant.ready.into()) / figure(variant.made.into()) * 100.0;
        report.figure(format!("{}, were ready", variant.create.name()), share, "%");
        report.times([variant.create, variant.kill]);
    }
    beside.end(report).await;
    Ok(())
}

/// What creates are held against.
struct Beside {
    _bare: Process,
    api: Api,
    answers: Times,
    page: Option<File>,
    syncs: Times,
    store: Option<SqliteStore>,
    transactions: Times,
    tools: Vec<(Baseline, Times)>,
    number: u64,
}

impl Beside {
    async fn start(global: &Global, bed: &Bed) -> Result<Self, Failure> {
        let words = ["bench", "serve", "--as-bare"].map(str::to_owned);
        let bare = Process::start(&words, &[])?;
        let api = Api::new(&Address::new(&bare.said, "none"));
        let (mut page, mut store) = (None, None);
        if let Some(server) = &bed.server {
            // On the disk on which the server has its own.
            let settings = global.settings(Vec::new())?;
            let beside = server.directory().join("beside");
            let opened = SqliteStore::open(&beside, &settings.store).await;
            store = Some(opened.map_err(|error| failed("cannot open a store").because(&error))?);
            let file = File::create(server.directory().join("page"));
            page = Some(file.map_err(|error| failed("cannot make a file").because(&error))?);
        }
        let tools = Baseline::there().into_iter().map(|tool| {
            let times = Times::of(format!("{} /bin/true, to its end", tool.name))?;
            Ok((tool, times))
        });
        Ok(Self {
            api,
            answers: Times::of("a bare server's answer")?,
            page,
            syncs: Times::of("one page written and synced")?,
            store,
            transactions: Times::of("a create's transaction in the store")?,
            tools: tools.collect::<Result<_, Failure>>()?,
            number: 0,
            _bare: bare,
        })
    }

    async fn turn(&mut self) -> Result<(), Failure> {
        for _ in 0..TURN {
            let begin = Instant::now();
            let body = Bytes::from_static(br#"{"templateID":"base","timeout":1200}"#);
            self.api.ask(Method::POST, "/v2/sandboxes", body).await?;
            self.answers.add(begin.elapsed());
            self.number += 1;
            self.sync()?;
            self.transact().await?;
        }
        for (tool, times) in &mut self.tools {
            tool.measure(&["/bin/true"], TURN, times);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Failure> {
        let Some(file) = &self.page else {
            return Ok(());
        };
        let begin = Instant::now();
        let at = self.number % 256 * 4096;
        let written = file.write_all_at(&[7; 4096], at);
        let synced = written.and_then(|()| file.sync_data());
        synced.map_err(|error| failed("cannot write a page").because(&error))?;
        self.syncs.add(begin.elapsed());
        Ok(())
    }

    async fn transact(&mut self) -> Result<(), Failure> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        let number = self.number;
        let transaction = Transaction::doing(vec![
            Operation::put(format!("sandbox/live/{number:020}"), vec![b'x'; RECORD.0]),
            Operation::put(format!("event/{number:020}"), vec![b'x'; RECORD.1]),
        ]);
        let begin = Instant::now();
        let done = store.transact(transaction).await;
        done.map_err(|error| failed("the store failed").because(&error))?;
        self.transactions.add(begin.elapsed());
        Ok(())
    }

    async fn end(self, report: &mut Report) {
        report.times([self.answers, self.syncs, self.transactions]);
        report.times(self.tools.into_iter().map(|(_, times)| times));
        if let Some(store) = self.store {
            store.close().await;
        }
    }
}

/// Makes a sandbox and has a command say something in it; tells how long until it was heard.
pub(super) async fn until_of_use(
    api: &mut Api,
    template: &str,
) -> Result<(Made, Duration), Failure> {
    let begin = Instant::now();
    let made = api.create(template).await?;
    let agent = api.agent(&made)?;
    let said = client::run(&agent, &client::line("echo here")).await?;
    let said = said.ok_or_else(|| failed("a command said nothing"))?;
    Ok((made, said - begin))
}

/// Sandboxes until they are of use, one by one.
pub(super) async fn interactive(
    bed: &Bed,
    args: &Args,
    report: &mut Report,
) -> Result<(), Failure> {
    let template = &args.common.template;
    let mut servers = vec![(Api::new(&bed.ready), Times::of("of use, one was ready")?)];
    if let Some(address) = &bed.unready {
        client::wait_until_ready(address, template).await?;
        servers.push((Api::new(address), Times::of("of use, none was ready")?));
    }
    let mut shell = Times::of("bash -c echo on the host, to its end")?;
    let tool = Baseline::there().into_iter().next();
    let progress = Progress::bar("creating and using", u64::from(args.count));
    for _ in 0..args.count.div_ceil(TURN) {
        for (api, times) in &mut servers {
            for _ in 0..TURN {
                tokio::time::sleep(REST).await;
                let (made, took) = until_of_use(api, template).await?;
                times.add(took);
                api.kill(&made).await?;
            }
        }
        if let Some(tool) = tool {
            tool.measure(&["/bin/bash", "-c", "echo here"], TURN, &mut shell);
        }
        progress.advance(u64::from(TURN));
    }
    report.times(servers.into_iter().map(|(_, times)| times).chain([shell]));
    Ok(())
}

/// Many at once, each by a client of its own, until they are of use.
pub(super) async fn burst(bed: &Bed, args: &Args, report: &mut Report) -> Result<(), Failure> {
    let progress = Progress::spinner("creating many at once");
    let begin = Instant::now();
    let clients = (0..args.burst).map(|_| {
        let (mut api, template) = (Api::new(&bed.ready), args.common.template.clone());
        tokio::spawn(async move {
            let used = until_of_use(&mut api, &template).await;
            (api, used)
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut times = Times::of(format!("of use, {} at once", args.burst))?;
    let (mut failures, mut done) = (0, Vec::new());
    for client in clients {
        match client.await {
            Ok((api, Ok((made, took)))) => {
                times.add(took);
                done.push((api, made));
            }
            Ok((_, Err(failure))) => {
                failure.tell();
                failures += 1;
            }
            Err(_) => failures += 1,
        }
    }
    times.took(begin.elapsed());
    drop(progress);
    for (mut api, made) in done {
        if let Err(failure) = api.kill(&made).await {
            terminal::warn(&failure.text(false));
        }
    }
    report.figure(
        format!("of use, {} at once, 95th percentile", args.burst),
        times.millis_at(0.95),
        "ms",
    );
    report.zero(
        format!("failures of {} at once", args.burst),
        figure(failures),
    );
    report.times([times]);
    Ok(())
}
