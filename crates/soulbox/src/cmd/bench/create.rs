//! How long until a sandbox is ready.

use super::Common;
use super::baseline::Baseline;
use super::bed::{self, Ready};
use super::report::{Report, Times};
use crate::cli::Global;
use crate::engine;
use crate::failure::Failure;
use crate::terminal::Progress;
use soulbox_model::NetworkMode;
use soulbox_node::Node;
use std::sync::Arc;
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  soulbox bench create
  soulbox bench create --count 1000 --json > create.json";

/// How many are measured before the next variant has its turn: what disturbs the machine for a
/// while disturbs all of them.
const TURN: u32 = 10;

/// How many wait, prepared or parked.
const WAITING: u32 = 8;

/// Flags of `soulbox bench create`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// How many sandboxes of each variant
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    #[command(flatten)]
    pub(super) common: Common,
}

/// One way to have a sandbox.
struct Variant {
    node: Arc<Node>,
    network: NetworkMode,
    create: Times,
    destroy: Times,
}

impl Variant {
    async fn new(
        global: &Global,
        name: &str,
        ready: Ready,
        (template, network): (&str, NetworkMode),
    ) -> Result<Self, Failure> {
        let node = bed::start(global, ready).await?;
        node.keep_ready(bed::spec(&node, template, network)?, None, None);
        Ok(Self {
            node,
            network,
            create: Times::of(format!("create, {name}"))?,
            destroy: Times::of(format!("destroy, {name}"))?,
        })
    }

    /// Makes and ends `count` sandboxes, one after the other, each with filled pools.
    async fn turn(&mut self, template: &str, count: u32, counts: bool) -> Result<(), Failure> {
        for _ in 0..count {
            self.node.pools_filled().await;
            let spec = bed::spec(&self.node, template, self.network)?;
            let begin = Instant::now();
            let sandbox = engine::create(&self.node, spec).await?;
            let made = begin.elapsed();
            let begin = Instant::now();
            sandbox.destroy().await;
            if counts {
                self.create.add(made);
                self.destroy.add(begin.elapsed());
            }
        }
        Ok(())
    }
}

pub(super) async fn measure(global: &Global, args: &Args) -> Result<Report, Failure> {
    let mut report = Report::begin("create", &args.common.template);
    let slots = Ready {
        slots: 8,
        ..Ready::default()
    };
    let parked = Ready {
        slots: 8,
        parked: WAITING,
        ..Ready::default()
    };
    let prepared = Ready {
        slots: 8,
        prepared: WAITING,
        ..Ready::default()
    };
    let template = args.common.template.as_str();
    let none = (template, NetworkMode::None);
    let internet = (template, NetworkMode::Internet);
    let fresh = Ready::default();
    let mut variants = vec![
        Variant::new(global, "everything fresh", fresh, none).await?,
        Variant::new(global, "slots from the pool", slots, none).await?,
        Variant::new(global, "prepared", prepared, none).await?,
        Variant::new(global, "parked", parked, none).await?,
    ];
    if variants.iter().all(|variant| variant.node.may_connect()) {
        for (name, ready) in [
            ("everything fresh, with internet", fresh),
            ("parked, with internet", parked),
        ] {
            variants.push(Variant::new(global, name, ready, internet).await?);
        }
    }
    let baselines = Baseline::there();
    let mut others = baselines
        .iter()
        .map(|baseline| Times::of(format!("{} /bin/true, to its end", baseline.name)))
        .collect::<Result<Vec<_>, _>>()?;

    let bar = Progress::bar("creating sandboxes", u64::from(args.count));
    // The first turn warms caches and is not counted.
    let mut left = args.count + TURN;
    while left > 0 {
        let (turn, counts) = (left.min(TURN), left <= args.count);
        for variant in &mut variants {
            variant.turn(&args.common.template, turn, counts).await?;
        }
        if counts {
            for (baseline, times) in baselines.iter().zip(&mut others) {
                baseline.measure(&["/bin/true"], turn, times);
            }
            bar.advance(u64::from(turn));
        }
        left -= turn;
    }
    drop(bar);
    for variant in variants {
        variant.node.stop().await;
        report.times([variant.create, variant.destroy]);
    }
    report.times(others);
    Ok(report.end())
}
