//! Zygotes: starting them, and having copies of them join sandboxes.

use super::super::sandbox::{Sandbox, Stage};
use super::super::source::Source;
use super::{Motion, Spawner};
use rustix::event::epoll;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use soulbox_wire::spawner::{Event, Failure, Join, Network, Refusal, Zygote};
use soulbox_wire::zygote::{Kind, REPLY, Reply};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a copy may take to join. It takes some milliseconds; a zygote that hangs is ended.
const JOIN_LIMIT: Duration = Duration::from_secs(2);

/// How many joins may be on their way in one zygote. Each holds some ten descriptors.
const MAX_JOINS: usize = 64;

/// The spawner's way to a zygote.
pub(in super::super) struct Broker {
    channel: OwnedFd,
    /// Joins on their way: the sandboxes' slots, and when each is overdue.
    joins: BTreeMap<u64, (u32, Instant)>,
    last: u64,
}

impl Broker {
    pub(in super::super) fn new(channel: OwnedFd) -> Self {
        Self {
            channel,
            joins: BTreeMap::new(),
            last: 0,
        }
    }

    pub(in super::super) fn channel(&self) -> &OwnedFd {
        &self.channel
    }

    /// When the first of the joins is overdue.
    pub(in super::super) fn deadline(&self) -> Option<Instant> {
        self.joins.values().map(|(_, deadline)| *deadline).min()
    }
}

impl Spawner {
    pub(super) fn start_zygote(&mut self, zygote: &Zygote, descriptors: Vec<OwnedFd>) {
        let slot = zygote.slot;
        let sandbox = match self.sandboxes.remove(&slot) {
            Some(sandbox) if sandbox.stage() == Stage::Slot => Ok(sandbox),
            Some(taken) => {
                self.sandboxes.insert(slot, taken);
                return self.refuse(slot, "start a zygote in a slot that is taken", Errno::BUSY);
            }
            None => {
                let taken = self.journal.taken(slot, Network::None);
                taken.and_then(|()| self.builder.make_slot(slot, Network::None, None))
            }
        };
        let started = sandbox.and_then(|mut sandbox| {
            let journal = &mut self.journal;
            let result = self
                .builder
                .start_zygote(&mut sandbox, zygote, descriptors, journal);
            self.watch(slot, &sandbox);
            self.sandboxes.insert(slot, sandbox);
            result
        });
        if let Err(error) = started {
            self.fail(slot, error.failure());
        }
    }

    /// A zygote says that it is ready, or what became of a join.
    pub(super) fn on_broker(&mut self, slot: u32) {
        let Some(zygote) = self.sandboxes.get_mut(&slot) else {
            return;
        };
        let Some(broker) = zygote.broker.as_mut() else {
            return;
        };
        // One byte more than a reply has, so that a longer packet is seen to be none.
        let mut packet = [0; REPLY + 1];
        let flags = RecvFlags::DONTWAIT;
        let length = match rustix::net::recv(&broker.channel, &mut packet[..], flags) {
            Ok((_, length)) if length > 0 => length,
            Err(Errno::INTR | Errno::AGAIN) => return,
            // It has closed its end, or ended: what it still owes, nobody gets.
            _ => return self.forsake(slot),
        };
        // A package of the template may write there what it likes; it harms its own template.
        let Some(reply) = packet.get(..length).and_then(Reply::decode) else {
            return;
        };
        if reply.kind == Kind::Ready {
            return self.on_zygote_ready(slot);
        }
        let Some((sandbox, _)) = broker.joins.remove(&reply.id) else {
            return;
        };
        if reply.kind == Kind::Joined {
            let event = Event::Joined {
                slot: sandbox,
                pid: u32::try_from(reply.pid).unwrap_or(0),
                phases: phases(&reply.laps),
            };
            return self.tell(&event, &[]);
        }
        let failure = Failure {
            step: reply.step.what().to_owned(),
            errno: reply.errno,
        };
        self.refuse_join(sandbox, Refusal::Linux(failure));
    }

    fn on_zygote_ready(&mut self, slot: u32) {
        let Some(zygote) = self.sandboxes.get_mut(&slot) else {
            return;
        };
        if !matches!(zygote.stage(), Stage::Building | Stage::Starting) {
            return;
        }
        zygote.stage = Stage::Running;
        zygote.deadline = None;
        zygote.lap("zygote");
        let phases = zygote.take_phases();
        self.journal.running(slot);
        self.tell(&Event::ZygoteReady { slot, phases }, &[]);
    }

    pub(super) fn join(&mut self, join: &Join, descriptors: Vec<OwnedFd>) {
        if let Err(why) = self.try_join(join, descriptors) {
            self.refuse_join(join.slot, why);
        }
    }

    fn try_join(&mut self, join: &Join, descriptors: Vec<OwnedFd>) -> Result<(), Refusal> {
        let Ok([control]) = <[OwnedFd; 1]>::try_from(descriptors) else {
            return Err(Refusal::NotRunning);
        };
        let sandbox = self.sandboxes.get(&join.slot).ok_or(Refusal::NotRunning)?;
        if sandbox.stage() != Stage::Running {
            return Err(Refusal::NotRunning);
        }
        if sandbox.motion != Motion::Going {
            return Err(Refusal::Frozen);
        }
        let serves = |zygote: &&Sandbox| {
            let ready = zygote.stage() == Stage::Running && zygote.owner == sandbox.owner;
            let joins = zygote.broker.as_ref().map(|broker| broker.joins.len());
            ready && joins.is_some_and(|joins| joins < MAX_JOINS)
        };
        let zygote = self.sandboxes.get(&join.zygote).filter(serves);
        let broker = zygote.and_then(|zygote| zygote.broker.as_ref());
        let broker = broker.ok_or(Refusal::NoZygote)?;
        let id = broker.last + 1;
        self.builder
            .order_join(join, id, sandbox, &control, broker.channel())
            .map_err(|error| Refusal::Linux(error.failure()))?;
        let zygote = self.sandboxes.get_mut(&join.zygote);
        if let Some(broker) = zygote.and_then(|zygote| zygote.broker.as_mut()) {
            broker.last = id;
            let deadline = Instant::now() + JOIN_LIMIT;
            broker.joins.insert(id, (join.slot, deadline));
        }
        Ok(())
    }

    fn refuse_join(&self, slot: u32, why: Refusal) {
        self.tell(&Event::NotJoined { slot, why }, &[]);
    }

    /// Tells those who wait for copies of a zygote that it is gone, and hears of it no more.
    pub(super) fn forsake(&mut self, slot: u32) {
        let zygote = self.sandboxes.get_mut(&slot);
        let Some(broker) = zygote.and_then(|zygote| zygote.broker.take()) else {
            return;
        };
        let _ = epoll::delete(&self.poll, &broker.channel);
        for (sandbox, _) in broker.joins.into_values() {
            self.refuse_join(sandbox, Refusal::NoZygote);
        }
    }

    /// Ends zygotes of which a copy does not arrive.
    pub(super) fn end_hanging_zygotes(&mut self) {
        let now = Instant::now();
        let hangs = |(slot, zygote): (&u32, &Sandbox)| {
            let deadline = zygote.broker.as_ref().and_then(Broker::deadline);
            deadline.is_some_and(|at| at <= now).then_some(*slot)
        };
        let hanging: Vec<_> = self.sandboxes.iter().filter_map(hangs).collect();
        for slot in hanging {
            self.forsake(slot);
            self.destroy(slot);
        }
    }

    /// Watches the channel to a zygote.
    pub(super) fn watch_broker(&self, slot: u32, sandbox: &Sandbox) {
        if let Some(broker) = &sandbox.broker {
            let data = Source::Broker(slot).pack();
            // It can fail for want of memory only; the deadline ends such a zygote.
            let _ = epoll::add(&self.poll, broker.channel(), data, epoll::EventFlags::IN);
        }
    }
}

/// The steps of a join and their lengths in microseconds.
fn phases(laps: &[u64]) -> Vec<(String, u64)> {
    const NAMES: [&str; 8] = [
        "helper",
        "copy",
        "own",
        "cgroups",
        "namespaces",
        "identity",
        "restrict",
        "join",
    ];
    let mut before = 0;
    let steps = NAMES.iter().zip(laps).map(|(name, lap)| {
        let length = lap.saturating_sub(before);
        before = before.max(*lap);
        ((*name).to_owned(), length / 1000)
    });
    steps.collect()
}
