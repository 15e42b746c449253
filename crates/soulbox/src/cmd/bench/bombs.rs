//! What a sandbox notices of a neighbour that does its worst.

use super::Common;
use super::bed::{self, Ready};
use super::report::{Report, Times};
use crate::cli::Global;
use crate::engine;
use crate::failure::Failure;
use crate::terminal::Progress;
use soulbox_model::NetworkMode;
use soulbox_node::{Node, Sandbox};
use soulbox_runtime::agent_client::StartRequest;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  soulbox bench bombs
  soulbox bench bombs --template base --count 1000 --json > bombs.json";

/// What the neighbour does: a name and a shell's words. Each goes on until it is ended.
const BOMBS: [(&str, &str); 13] = [
    (
        "spins",
        "for i in 1 2 3 4 5 6 7 8; do (while :; do :; done) & done; wait",
    ),
    ("forks until nothing is left", "perl -e 'fork while 1'"),
    (
        "forks and ends",
        "for i in 1 2 3 4; do perl -e 'while (1) { exit unless fork; wait }' & done; wait",
    ),
    (
        "uses up its memory again and again",
        "while :; do tail -n 1 /dev/zero; done",
    ),
    (
        "fills its disk again and again",
        "cd /tmp; while :; do head -c 20G /dev/zero > f; rm -f f; done",
    ),
    (
        "uses up its inodes again and again",
        "cd /tmp; perl -e 'while (1) { my $n = 0; while (open(my $f, \">\", \"f$n\")) { $n++ } \
         unlink(\"f$_\") for 0 .. $n }'",
    ),
    (
        "opens files without end",
        "ulimit -n $(ulimit -Hn); perl -e 'fork for 1 .. 3; while (1) { my @f; \
         while (open(my $f, \"<\", \"/dev/null\")) { push @f, $f } }'",
    ),
    ("prints without end", "yes & cat /dev/zero"),
    (
        "makes threads without end",
        "python3 -c \"\nimport threading, time\nwhile True:\n  try: \
         threading.Thread(target=time.sleep, args=(0.5,), daemon=True).start()\n  \
         except RuntimeError: pass\"",
    ),
    (
        "sends signals without end",
        "perl -e '$SIG{USR1} = sub {}; fork for 1 .. 4; kill(USR1 => 0) while 1'",
    ),
    (
        "starts programs without end",
        "for i in 1 2 3 4; do (while :; do /bin/true; done) & done; wait",
    ),
    (
        "maps a file that all share",
        "python3 -c \"\nimport glob, mmap, os\nlibc = open(glob.glob('/usr/lib/*/libc.so.6')[0], 'rb').fileno()\n\
         for _ in range(9): os.fork()\nwhile True: mmap.mmap(libc, 4096, prot=mmap.PROT_READ).close()\"",
    ),
    (
        "fills and empties pipes",
        "for i in 1 2 3 4; do (cat /dev/zero | cat | cat > /dev/null) & done; wait",
    ),
];

/// How many commands are not counted at first.
const WARM: u32 = 20;

/// The longest that one bomb is measured.
const LONGEST: Duration = Duration::from_secs(30);

/// Flags of `soulbox bench bombs`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// How many commands are measured beside each bomb, and before it
    #[arg(long, value_name = "COUNT", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// For how long the neighbour goes on before commands begin
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = crate::cli::server::time)]
    after: Duration,
    /// Only the bombs whose name holds this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) async fn measure(global: &Global, args: &Args) -> Result<Report, Failure> {
    let mut report = Report::begin("bombs", &args.common.template);
    let node = bed::start(global, Ready::default()).await?;
    let spec = bed::spec(&node, &args.common.template, NetworkMode::None)?;
    let measured = engine::create(&node, spec).await?;
    let mut ignored = Times::of("warm")?;
    commands(&measured, WARM, &mut ignored).await?;

    let wanted = |name: &str| args.only.as_deref().is_none_or(|only| name.contains(only));
    let mut idle = Times::of("/bin/true, nobody beside it")?;
    let mut beside = Vec::new();
    for (name, code) in BOMBS.into_iter().filter(|(name, _)| wanted(name)) {
        let progress = Progress::spinner(&format!("a neighbour {name}"));
        commands(&measured, args.count, &mut idle).await?;
        let mut times = Times::of(format!("/bin/true, its neighbour {name}"))?;
        let bomb = light(&node, args, code).await?;
        tokio::time::sleep(args.after).await;
        let done = commands(&measured, args.count, &mut times).await;
        bomb.end().await;
        done?;
        beside.push(times);
        drop(progress);
    }
    measured.destroy().await;
    node.stop().await;
    report.times(std::iter::once(idle).chain(beside));
    Ok(report.end())
}

/// Measures commands, one after another.
async fn commands(sandbox: &Sandbox, count: u32, times: &mut Times) -> Result<(), Failure> {
    let all = Instant::now();
    for _ in 0..count {
        let begin = Instant::now();
        bed::run(sandbox, &["/bin/true"]).await?;
        times.add(begin.elapsed());
        if all.elapsed() > LONGEST {
            break;
        }
    }
    Ok(())
}

/// A neighbour that does its worst.
struct Bomb {
    sandbox: Sandbox,
    reader: tokio::task::JoinHandle<()>,
}

async fn light(node: &Node, args: &Args, code: &str) -> Result<Bomb, Failure> {
    let spec = bed::spec(node, &args.common.template, NetworkMode::None)?;
    let sandbox = engine::create(node, spec).await?;
    let request = StartRequest {
        cmd: "/bin/bash".to_owned(),
        args: vec!["-c".to_owned(), format!("exec 2> /dev/null\n{code}")],
        ..StartRequest::default()
    };
    let agent = sandbox.agent().clone();
    let reader = tokio::spawn(async move {
        // What it prints is read as fast as it comes. It may take its agent with it: no error.
        if let Ok(mut stream) = agent.start(&request).await {
            while let Ok(Some(_)) = stream.next().await {}
        }
    });
    Ok(Bomb { sandbox, reader })
}

impl Bomb {
    async fn end(self) {
        self.sandbox.destroy().await;
        self.reader.abort();
    }
}
