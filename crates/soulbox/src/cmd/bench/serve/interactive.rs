//! Time to interactive as ComputeSDK's benchmarks define it: from asking for a sandbox until the first command's output
//! is there. One after the other, one every 200 ms, and all at once.

use super::super::report::Times;
use super::client::{Address, Api};
use super::create::until_of_use;
use crate::failure::Failure;
use std::time::{Duration, Instant};

/// How long after one the next begins when they are staggered.
const STAGGER: Duration = Duration::from_millis(200);

/// In which order sandboxes are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cmd::bench) enum Order {
    /// The next one when the last one was of use.
    Sequential,
    /// One every 200 ms.
    Staggered,
    /// All at the same moment.
    Burst,
}

impl Order {
    /// All of them, as they are measured.
    pub(in crate::cmd::bench) const ALL: [Self; 3] =
        [Self::Sequential, Self::Staggered, Self::Burst];

    /// How it is called in tables.
    pub(in crate::cmd::bench) const fn word(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Staggered => "staggered by 200 ms",
            Self::Burst => "burst",
        }
    }
}

/// Makes so many sandboxes of `template` on the server at `url`. How long each took, and how many failed.
pub(in crate::cmd::bench) async fn time_to_use(
    url: &str,
    key: &str,
    template: &str,
    count: u32,
    order: Order,
) -> Result<(Times, u32), Failure> {
    let address = Address::new(url, key);
    let mut times = Times::of(format!("time to interactive, {}", order.word()))?;
    let mut failures = 0;
    let mut clients = Vec::new();
    let begin = Instant::now();
    for number in 0..count {
        let due = match order {
            Order::Staggered => STAGGER * number,
            Order::Sequential | Order::Burst => Duration::ZERO,
        };
        let (address, template) = (address.clone(), template.to_owned());
        let client = tokio::spawn(async move {
            tokio::time::sleep_until((begin + due).into()).await;
            one(&address, &template).await
        });
        match order {
            Order::Sequential => add(client.await.ok(), &mut times, &mut failures),
            Order::Staggered | Order::Burst => clients.push(client),
        }
    }
    for client in clients {
        add(client.await.ok(), &mut times, &mut failures);
    }
    times.took(begin.elapsed());
    Ok((times, failures))
}

/// Makes one, uses it, ends it.
async fn one(address: &Address, template: &str) -> Result<Duration, Failure> {
    let mut api = Api::new(address);
    let (made, took) = until_of_use(&mut api, template).await?;
    api.kill(&made).await?;
    Ok(took)
}

fn add(done: Option<Result<Duration, Failure>>, times: &mut Times, failures: &mut u32) {
    match done {
        Some(Ok(took)) => times.add(took),
        Some(Err(failure)) => {
            failure.tell();
            *failures += 1;
        }
        None => *failures += 1,
    }
}
