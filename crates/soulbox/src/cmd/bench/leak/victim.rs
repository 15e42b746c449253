//! The engine that is killed: makes, uses and ends sandboxes until its stdin closes, and says on
//! stdout how it goes.
//!
//! | It says | when |
//! |---|---|
//! | `ready` | it has started |
//! | `cycle` | a sandbox was made, used and ended |
//! | `failed <why>` | that went wrong, as it may when something was killed |
//! | `rest <descriptors>` | it was told `rest`: nothing goes on and the pools are full |

use super::{Args, bed};
use crate::cli::Global;
use crate::engine;
use crate::failure::Failure;
use crate::terminal;
use soulbox_model::NetworkMode;
use soulbox_node::{Node, Sandbox};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;

/// Every how many cycles one has a network.
const CONNECTED: u32 = 4;
/// For how many cycles a sandbox is kept beside the others.
const KEPT: u32 = 5;
/// How long after the last sandbox its connections are closed.
const CALM: Duration = Duration::from_millis(300);

/// Works until stdin closes.
pub(super) async fn work(global: &Global, args: &Args) -> Result<(), Failure> {
    let ready = bed::Ready {
        slots: 3,
        prepared: 1,
        parked: 1,
    };
    let node = bed::start(global, ready).await?;
    let spec = bed::spec(&node, &args.common.template, NetworkMode::None)?;
    node.keep_ready(spec, None, None);
    terminal::print("ready")?;
    let mut orders = orders();
    let mut kept = None;
    for number in 0_u32.. {
        match orders.try_recv() {
            Ok(()) => {
                end(kept.take()).await;
                rest(&node).await?;
                // Goes on when it is told anything.
                if orders.recv().await.is_none() {
                    break;
                }
            }
            Err(mpsc::error::TryRecvError::Empty) => {}
            Err(mpsc::error::TryRecvError::Disconnected) => break,
        }
        match cycle(&node, args, number, &mut kept).await {
            Ok(()) => terminal::print("cycle")?,
            Err(failure) => {
                terminal::print(&format!(
                    "failed {}",
                    failure.text(false).replace('\n', ", ")
                ))?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    end(kept).await;
    node.stop().await;
    Ok(())
}

async fn cycle(
    node: &Node,
    args: &Args,
    number: u32,
    kept: &mut Option<Sandbox>,
) -> Result<(), Failure> {
    let network = if number.is_multiple_of(CONNECTED) {
        NetworkMode::Internet
    } else {
        NetworkMode::None
    };
    let spec = bed::spec(node, &args.common.template, network)?;
    let sandbox = engine::create(node, spec).await?;
    let ran = bed::run(&sandbox, &["/bin/true"]).await;
    if number.is_multiple_of(KEPT) {
        end(kept.replace(sandbox)).await;
    } else {
        sandbox.destroy().await;
    }
    ran
}

async fn end(sandbox: Option<Sandbox>) {
    if let Some(sandbox) = sandbox {
        sandbox.destroy().await;
    }
}

async fn rest(node: &Node) -> Result<(), Failure> {
    node.pools_filled().await;
    tokio::time::sleep(CALM).await;
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    terminal::print(&format!("rest {open}"))
}

/// One message for each line of stdin.
fn orders() -> mpsc::Receiver<()> {
    let (sender, receiver) = mpsc::channel(8);
    tokio::spawn(async move {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(_)) = lines.next_line().await {
            if sender.send(()).await.is_err() {
                return;
            }
        }
    });
    receiver
}
