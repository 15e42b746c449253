//! Whom is asked, and for how long.

use super::super::execute::part::{Part, Told};
use super::super::execute::{Load, Payload, ask, listen, serve};
use super::super::report::Times;
use super::super::service::Service;
use super::super::talk::Whom;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Progress;
use bytes::Bytes;
use http::{Method as Verb, StatusCode};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::process::Child;

/// How long a server may take until it runs code, a zygote's start included.
const PATIENCE: Duration = Duration::from_secs(60);

/// The other means.
const OTHERS: [(&str, Part); 2] = [
    ("bubblewrap", Part::Bubblewrap),
    ("fork and exec", Part::Fork),
];

/// How many ways there are to run code here.
pub(super) fn ways(alone: bool) -> usize {
    1 + others(alone).count()
}

fn others(alone: bool) -> impl Iterator<Item = (&'static str, Part)> {
    let works = move |(_, part): &(&str, Part)| !alone && part.works();
    OTHERS.into_iter().filter(works)
}

/// For how long each scenario goes on, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Method {
    /// What does not count.
    pub(super) warm_up: u64,
    pub(super) seconds: u64,
}

impl Method {
    /// As the reference was measured.
    pub(super) const REFERENCE: Self = Self {
        warm_up: 60,
        seconds: 300,
    };

    /// In words.
    pub(super) fn text(self) -> String {
        let Self { warm_up, seconds } = self;
        let whose = match self {
            Self::REFERENCE => ", as the reference was measured",
            _ => "",
        };
        format!(
            "Each scenario: {warm_up} s that do not count, then {seconds} s{whose}. Who asks is a process of its own on \
             the same machine; the JSON has how many processors it took. Every answer is looked at."
        )
    }
}

/// Somebody who runs code when asked.
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) address: String,
    pub(super) key: String,
    pub(super) service: Service,
}

/// Where and how everything is measured.
pub(super) struct Scene {
    pub(super) program: PathBuf,
    pub(super) data_dir: PathBuf,
    pub(super) method: Method,
    pub(super) template: String,
    pub(super) progress: Progress,
}

impl Scene {
    /// Starts `soulbox serve`.
    pub(super) async fn serve(
        &self,
        variables: &[(&str, &str)],
        children: &mut Vec<Child>,
    ) -> Result<Way, Failure> {
        self.progress.say("starting the server");
        let (child, address, key) = serve(&self.program, &self.data_dir, variables).await?;
        let service = Service::of(child.id().unwrap_or_default());
        children.push(child);
        Ok(Way {
            name: "SoulBox",
            address,
            key,
            service,
        })
    }

    /// The server, and the other means of this machine.
    pub(super) async fn ways(
        &self,
        soulbox: &Way,
        payload: Payload,
        alone: bool,
        children: &mut Vec<Child>,
    ) -> Result<Vec<Way>, Failure> {
        let mut ways = vec![Way {
            name: soulbox.name,
            address: soulbox.address.clone(),
            key: soulbox.key.clone(),
            service: soulbox.service,
        }];
        for (name, part) in others(alone) {
            let (child, address) = listen(&self.program, part, payload).await?;
            let service = Service::of(child.id().unwrap_or_default());
            children.push(child);
            ways.push(Way {
                name,
                address,
                key: String::new(),
                service,
            });
        }
        Ok(ways)
    }

    /// Waits until the server runs code.
    pub(super) async fn until_ready(&self, way: &Way) -> Result<(), Failure> {
        self.progress.say("waiting for the server");
        let whom = Whom::server(&way.address, &[("x-api-key", &way.key)])?;
        let (language, code, _) = Payload::Hello.code();
        let asked = serde_json::json!({
            "language": language, "code": code, "template": self.template,
        });
        let asked = Bytes::from(asked.to_string());
        let begin = Instant::now();
        loop {
            // A connection of its own each time: a refused one may be closed.
            let done = async {
                let mut talk = whom.open().await?;
                let done = talk.expect(Verb::POST, "/v1/execute", asked.clone(), StatusCode::OK);
                done.await
            };
            match done.await {
                Ok(_) => return Ok(()),
                Err(failure) if begin.elapsed() > PATIENCE => return Err(failure),
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// Has so many users ask for a scenario's time.
    pub(super) async fn ask(
        &self,
        way: &Way,
        payload: Payload,
        users: u32,
        rate: u32,
    ) -> Result<Told, Failure> {
        let load = Load {
            users,
            rate,
            seconds: self.method.seconds,
            warm_up: self.method.warm_up,
            payload,
            template: &self.template,
        };
        ask(&self.program, &load, &way.address, &way.key).await
    }
}

/// The times that who asked has seen.
pub(super) fn times(name: &str, told: &Told) -> Result<Times, Failure> {
    if told.elapsed_us == 0 {
        return Err(Failure::new(Exit::INTERNAL, "nothing was measured"));
    }
    let mut times = Times::of(name)?;
    times.took(Duration::from_micros(told.elapsed_us));
    for micros in &told.micros {
        times.add(Duration::from_micros(*micros));
    }
    Ok(times)
}
