//! What sandboxes with internet need of the host: the walls and the resolver.
//!
//! Nothing of it is there before the first such sandbox. The walls stay up as long as an engine of
//! the machine needs them; somebody else's `nft flush ruleset` is noticed and mended.

use crate::mount_source::{self, MountSourceError};
use crate::resolver::upstream::Upstreams;
use crate::resolver::{Resolver, ServeError, Service};
use crate::trust::{Trust, TrustError};
use rustix::fd::OwnedFd;
use soulbox_image::layers::Layers;
use soulbox_model::Mount;
use soulbox_runtime::native::network::address::{AddressError, SandboxRange};
use soulbox_runtime::native::network::firewall::rules::Rules;
use soulbox_runtime::native::network::firewall::watch::Watch;
use soulbox_runtime::native::network::firewall::{self, FirewallError};
use soulbox_settings::Settings;
use soulbox_wire::spawner::GuestMount;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

/// How often the walls are looked after, beside each create.
const LOOK_AFTER: Duration = Duration::from_secs(5);

/// How often rules that change all the time are looked at.
const SETTLE: Duration = Duration::from_millis(20);

/// A network that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum InternetError {
    /// The walls cannot be put up. Without them no sandbox gets a link.
    #[error("cannot protect the host from sandboxes with internet")]
    Firewall(#[from] FirewallError),
    /// The range of addresses is no good.
    #[error(transparent)]
    Range(#[from] AddressError),
    /// The resolver's sockets cannot be served.
    #[error(transparent)]
    Resolver(#[from] ServeError),
    /// The operator's certificates cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The merged certificates cannot be mounted.
    #[error(transparent)]
    Mount(#[from] MountSourceError),
    /// The engine was stopped meanwhile.
    #[error("the engine was stopped while it prepared the network")]
    Interrupted,
}

/// The walls and the resolver of an engine.
pub(crate) struct Internet {
    walls: Arc<Walls>,
    resolver: Resolver,
    trust: Option<Trust>,
    watch: JoinHandle<()>,
}

/// Certificates that go into a sandbox.
pub(crate) struct Trusted {
    /// Where.
    pub(crate) mount: GuestMount,
    /// What.
    pub(crate) tree: OwnedFd,
    /// Who has to be told.
    pub(crate) environment: BTreeMap<String, String>,
}

struct Walls {
    rules: Rules,
    lease: Mutex<Option<firewall::Lease>>,
}

impl Walls {
    /// Repairs the walls, and looks anew at the rules of others if asked to.
    fn mend(&self, look_around: bool) -> Result<(), FirewallError> {
        self.repair()?;
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        match lease.as_mut() {
            Some(lease) if look_around => lease.look_around(),
            _ => Ok(()),
        }
    }

    fn repair(&self) -> Result<(), FirewallError> {
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lease) = lease.as_mut()
            && lease.repair(&self.rules)?
        {
            tracing::warn!("the walls of the network had been removed and are up again");
        }
        Ok(())
    }
}

impl Internet {
    /// Puts the walls up.
    pub(crate) async fn start(settings: &Settings) -> Result<Self, InternetError> {
        let range = SandboxRange::new(settings.network.subnet)?;
        let rules = Rules::of_policy(range, settings.network.allow.clone());
        let cache = settings.paths.run_dir.join("certificates");
        let trust = Trust::read(&settings.network.extra_ca_certificates, &cache)?;
        let machine_dir: PathBuf = settings.paths.machine_dir.clone();
        let walls = blocking(move || -> Result<Walls, FirewallError> {
            let lease = firewall::Lease::take(&machine_dir, &rules)?;
            for obstacle in lease.obstacles() {
                tracing::warn!(
                    ?obstacle,
                    "another firewall may keep sandboxes from the internet"
                );
            }
            Ok(Walls {
                rules,
                lease: Mutex::new(Some(lease)),
            })
        })
        .await??;
        let walls = Arc::new(walls);
        let watch = tokio::spawn(look_after(Arc::clone(&walls)));
        let resolver = Resolver::new(Upstreams::of_settings(&settings.network.resolvers));
        Ok(Self {
            walls,
            resolver,
            trust,
            watch,
        })
    }

    /// Makes sure that the walls are up.
    pub(crate) async fn check(&self) -> Result<(), InternetError> {
        let walls = Arc::clone(&self.walls);
        Ok(blocking(move || walls.repair()).await??)
    }

    /// Answers a sandbox's questions for names.
    pub(crate) fn serve(&self, sockets: Vec<OwnedFd>) -> Result<Option<Service>, InternetError> {
        match <[OwnedFd; 2]>::try_from(sockets) {
            Ok([udp, tcp]) => Ok(Some(self.resolver.serve(udp, tcp)?)),
            Err(_) => Ok(None),
        }
    }

    /// The operator's certificates for sandboxes of these trees, if there are any.
    pub(crate) fn trusted(&self, layers: &Layers) -> Result<Option<Trusted>, InternetError> {
        let Some(trust) = &self.trust else {
            return Ok(None);
        };
        let Some(bundle) = trust.bundle(layers)? else {
            return Ok(None);
        };
        let (guest, tree) = mount_source::open(&Mount {
            host: bundle.file.clone(),
            guest: PathBuf::from(&bundle.at),
            read_only: true,
        })?;
        let told = bundle
            .environment()
            .map(|(name, at)| (name.to_owned(), at.to_owned()));
        Ok(Some(Trusted {
            // The file is the host root's, whom no sandbox knows: it is readable, no more.
            mount: GuestMount {
                shift_ids: false,
                ..guest
            },
            tree,
            environment: told.collect(),
        }))
    }

    /// Leaves the walls up for sandboxes that go on: nobody takes them down while there are links.
    pub(crate) fn leave(&self) {
        self.watch.abort();
        let mut lease = self
            .walls
            .lease
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(lease) = lease.take() {
            lease.leave();
        }
    }

    /// Takes the walls down if nobody else needs them.
    pub(crate) async fn stop(&self) {
        self.watch.abort();
        let walls = Arc::clone(&self.walls);
        let given_back = blocking(move || {
            let lease = walls
                .lease
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            lease.map(firewall::Lease::give_back)
        });
        if let Ok(Some(Err(error))) = given_back.await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the walls stay up"
            );
        }
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// Mends the walls as soon as Linux tells that somebody changed rules, and now and then in any
/// case. The rules of others, which take `nft` to read, are looked at no more often than that.
async fn look_after(walls: Arc<Walls>) {
    let watch = match Watch::open() {
        Ok(watch) => registered(watch),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "flushed rules are noticed late"
            );
            None
        }
    };
    let mut now_and_then = tokio::time::interval(LOOK_AFTER);
    let mut others_changed = false;
    loop {
        let look_around = tokio::select! {
            () = changed(watch.as_ref()) => {
                others_changed = true;
                false
            }
            _ = now_and_then.tick() => std::mem::take(&mut others_changed),
        };
        let walls = Arc::clone(&walls);
        if let Ok(Err(error)) = blocking(move || walls.mend(look_around)).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot mend the walls"
            );
        }
        tokio::time::sleep(SETTLE).await;
    }
}

// Deprecated because it trusts its caller never to exchange the descriptor inside, which nobody
// can here: a watch gives no access to it.
#[allow(deprecated)]
fn registered(watch: Watch) -> Option<AsyncFd<Watch>> {
    AsyncFd::new(watch).ok()
}

/// Waits until rules of the host have changed; for ever when nothing tells.
async fn changed(watch: Option<&AsyncFd<Watch>>) {
    let Some(watch) = watch else {
        return std::future::pending().await;
    };
    while let Ok(mut ready) = watch.readable().await {
        let changed = ready.get_inner().changed();
        ready.clear_ready();
        if changed {
            return;
        }
    }
    std::future::pending::<()>().await;
}

async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> T + Send + 'static,
) -> Result<T, InternetError> {
    tokio::task::spawn_blocking(act)
        .await
        .map_err(|_| InternetError::Interrupted)
}
