//! Images of registries: what builds begin with, and templates that are one image each.

use super::TemplateStore;
use super::script::Stop;
use super::steps::{
    Boxed, Happened, ImageGround, Sources, StepBuilder, StepError, StepEvent, StepFailure, TOP,
};
use crate::node::Node;
use soulbox_image::layer_store::{HeldLayer, LayerId, LayerStore};
use soulbox_image::layers::Layers;
use soulbox_image::measure::TreeSize;
use soulbox_image::oci::config::ImageConfig;
use soulbox_image::oci::digest::Digest;
use soulbox_image::oci::platform::Platform;
use soulbox_image::oci::record::record_of;
use soulbox_image::oci::reference::Reference;
use soulbox_image::oci::registry::{
    Image, PullEvent, Registry, RegistryOptions, TrustError, UnpackFailure,
};
use soulbox_image::oci::unpack::{UnpackLimits, unpack};
use soulbox_image::record::TemplateRecord;
use soulbox_image::steps::{Base, Plan, RegistryAuth, Stage, Step, StepKind};
use soulbox_model::{ByteSize, Limits, TemplateName};
use soulbox_settings::Settings;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// How long making the account of a template may take.
const STEP_TIME: Duration = Duration::from_secs(300);
/// The account that sandboxes have.
const USER: &str = "user";
/// The one that images run as when they say nothing else.
const ROOT: &str = "root";

/// Gets images of registries.
#[derive(Debug)]
pub struct Images {
    registry: Registry,
    templates: PathBuf,
    platform: Platform,
}

impl Images {
    /// For an operator, whose networks and passwords may be used.
    ///
    /// # Errors
    /// [`TrustError`] when a file with certificates cannot be used.
    pub fn new(settings: &Settings, store: &TemplateStore) -> Result<Self, TrustError> {
        let options = RegistryOptions::new(&settings.registry, &settings.proxies);
        Self::with(options, store)
    }

    /// For clients of a server, who reach neither the operator's networks nor passwords by it.
    ///
    /// # Errors
    /// As [`Images::new`].
    pub fn for_clients(settings: &Settings, store: &TemplateStore) -> Result<Self, TrustError> {
        let options = RegistryOptions::new(&settings.registry, &settings.proxies);
        Self::with(options.for_clients(), store)
    }

    fn with(options: RegistryOptions, store: &TemplateStore) -> Result<Self, TrustError> {
        Ok(Self {
            registry: Registry::new(options)?,
            templates: store.directory().to_owned(),
            platform: Platform::host(),
        })
    }

    /// The same for images of another platform, which run only where this machine understands them.
    #[must_use]
    pub fn of_platform(self, platform: Platform) -> Self {
        Self { platform, ..self }
    }

    /// What an image says about its processes and layers, which is asked for without the layers.
    ///
    /// # Errors
    /// [`StepError::Image`].
    pub async fn config(
        &self,
        reference: &str,
        auth: Option<&RegistryAuth>,
    ) -> Result<ImageConfig, StepError> {
        Ok(self.resolve(reference, auth).await?.config)
    }

    async fn resolve(
        &self,
        reference: &str,
        auth: Option<&RegistryAuth>,
    ) -> Result<Image, StepError> {
        let wrong = |source: Box<dyn std::error::Error + Send + Sync>| StepError::Image {
            reference: reference.to_owned(),
            source,
        };
        let name: Reference = reference.parse().map_err(|error| wrong(Box::new(error)))?;
        let image = self.registry.resolve(&name, auth, &self.platform).await;
        image.map_err(|error| wrong(error.source))
    }

    /// Gets an image: its layers, and what its config says.
    ///
    /// # Errors
    /// [`StepError::Image`].
    pub async fn ground(
        &self,
        reference: &str,
        auth: Option<&RegistryAuth>,
        told: &(dyn Fn(Happened) + Send + Sync),
    ) -> Result<ImageGround, StepError> {
        let wrong = |source: Box<dyn std::error::Error + Send + Sync>| StepError::Image {
            reference: reference.to_owned(),
            source,
        };
        let image = self.resolve(reference, auth).await?;
        let tell = Telling::new(&image, told);
        let tell = |event| tell.hear(event);
        let pulled = self
            .registry
            .pull(&image, auth, &self.templates, unpack_layer, &tell);
        let held = pulled.await.map_err(|error| wrong(Box::new(error)))?;
        ground_of(
            &self.templates,
            held,
            &image.config,
            name_of(&image.reference),
        )
    }

    /// Makes the template `name` of an image, with the account `user` if that can be made in it.
    ///
    /// # Errors
    /// [`StepFailure`]; an older template of that name is as it was then.
    pub async fn template(
        &self,
        (reference, auth): (&str, Option<&RegistryAuth>),
        name: &TemplateName,
        (store, node): (&TemplateStore, &Node),
        events: &Sender<StepEvent>,
        mut stop: Stop<'_>,
    ) -> Result<TemplateRecord, StepFailure> {
        let told = |what| {
            // A slow reader misses some of how far it is.
            let _ = events.try_send(StepEvent {
                stage: 0,
                step: 0,
                steps: 1,
                what,
            });
        };
        let ground = tokio::select! {
            ground = self.ground(reference, auth, &told) => ground,
            () = stop.as_mut() => Err(StepError::Stopped),
        };
        let ground = ground.map_err(|source| StepFailure {
            stage: 0,
            step: 0,
            steps: 1,
            line: None,
            source,
        })?;
        make(ground, reference, name, (store, node), events, stop).await
    }
}

/// An image whose layers are here, with what sandboxes need and it lacks.
pub(super) fn ground_of(
    templates: &Path,
    mut held: Vec<HeldLayer>,
    config: &ImageConfig,
    name: TemplateName,
) -> Result<ImageGround, StepError> {
    let sum = |of: fn(&soulbox_image::layer_store::LayerFacts) -> u64| -> u64 {
        held.iter().map(|layer| of(&layer.facts)).sum()
    };
    let size = TreeSize {
        bytes: ByteSize(sum(|facts| facts.size.bytes())),
        files: sum(|facts| facts.files),
    };
    let mut layers = layers_of(held.iter().map(|layer| layer.tree.clone()).collect());
    if let Some(top) = top(&LayerStore::new(templates), &layers)? {
        let below = std::mem::replace(&mut layers.rootfs, top.tree.clone());
        if !held.is_empty() {
            layers.below.insert(0, below);
        }
        held.push(top);
    }
    let mut record = record_of(name, config, &layers, size);
    record.layers = held.iter().map(|layer| layer.id.clone()).collect();
    Ok(ImageGround {
        layers: held.into_iter().map(Arc::new).collect(),
        record,
    })
}

/// Makes the template `name` of an image that is here.
pub(super) async fn make(
    ground: ImageGround,
    reference: &str,
    name: &TemplateName,
    (store, node): (&TemplateStore, &Node),
    events: &Sender<StepEvent>,
    stop: Stop<'_>,
) -> Result<TemplateRecord, StepFailure> {
    let plan = plan(reference, &ground);
    let builder = StepBuilder {
        store,
        node,
        sources: &Here(ground),
        limits: limits(node),
        timeout: STEP_TIME,
        events,
    };
    builder.build(&plan, name, stop).await
}

impl Sources for Images {
    fn image<'a>(
        &'a self,
        reference: &'a str,
        auth: Option<&'a RegistryAuth>,
        told: &'a (dyn Fn(Happened) + Send + Sync),
    ) -> Boxed<'a, Result<ImageGround, StepError>> {
        Box::pin(self.ground(reference, auth, told))
    }
}

/// An image that is here already.
struct Here(ImageGround);

impl Sources for Here {
    fn image<'a>(
        &'a self,
        _: &'a str,
        _: Option<&'a RegistryAuth>,
        _: &'a (dyn Fn(Happened) + Send + Sync),
    ) -> Boxed<'a, Result<ImageGround, StepError>> {
        let ground = ImageGround {
            layers: self.0.layers.clone(),
            record: self.0.record.clone(),
        };
        Box::pin(async move { Ok(ground) })
    }
}

/// A layer with the directories that every sandbox needs to begin and that an image lacks: few
/// images for single programs have them. `None`: it lacks none.
fn top(store: &LayerStore, layers: &Layers) -> Result<Option<HeldLayer>, StepError> {
    let lacks = |name: &str| layers.find(&Path::new("/").join(name)).is_none();
    let missing: Vec<_> = TOP.iter().filter(|(name, _)| lacks(name)).collect();
    if missing.is_empty() {
        return Ok(None);
    }
    let names: Vec<_> = missing.iter().map(|(name, _)| *name).collect();
    let names = names.join(" ");
    let id = Digest::of(format!("directories of sandboxes: {names}").as_bytes());
    let id = LayerId::of_step(id.bytes());
    if let Some(there) = store.hold(&id)? {
        return Ok(Some(there));
    }
    let layer = store.begin()?;
    for (name, mode) in missing {
        let path = layer.tree().join(name);
        let made = fs::create_dir(&path)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(*mode)));
        made.map_err(|source| StepError::Files {
            what: format!("make {}", path.display()),
            source,
        })?;
    }
    Ok(Some(
        layer.publish(&id, &format!("the directories {names}"))?,
    ))
}

/// Makes a layer's files of its tar.
fn unpack_layer(tar: &mut dyn Read, tree: &Path) -> Result<(), UnpackFailure> {
    unpack(tar, tree, &UnpackLimits::default())?;
    Ok(())
}

/// The image, and the account `user` on it. An image without a shell has root only.
fn plan(reference: &str, ground: &ImageGround) -> Plan {
    let trees = ground.layers.iter().map(|layer| layer.tree.clone());
    let shell = layers_of(trees.collect()).program("sh").is_some();
    let own = &ground.record.user;
    let step = |name: &str, create: bool| Step {
        text: format!("USER {name}"),
        line: None,
        kind: StepKind::User {
            name: name.to_owned(),
            create,
            sudo: create,
        },
        force: false,
    };
    let mut steps = Vec::new();
    if shell {
        steps.push(step(USER, true));
    }
    if shell && own != USER && own != ROOT {
        steps.push(step(own, false));
    }
    Plan {
        stages: vec![Stage {
            name: None,
            base: Base::Image {
                reference: reference.to_owned(),
                auth: None,
            },
            steps,
        }],
        target: 0,
    }
}

fn limits(node: &Node) -> Limits {
    node.settings().sandbox.limits()
}

/// The trees, of which the lowest was first.
fn layers_of(mut trees: Vec<PathBuf>) -> Layers {
    let rootfs = trees.pop().unwrap_or_default();
    trees.reverse();
    Layers {
        rootfs,
        below: trees,
        usr: None,
    }
}

/// A name for the record until the template has one of its own.
fn name_of(image: &Reference) -> TemplateName {
    let name = image.short_name().parse();
    name.unwrap_or_else(|_| TemplateName::host())
}

/// Tells how far a pull is: when a hundredth more of it is here, not for each piece.
struct Telling<'a> {
    told: &'a (dyn Fn(Happened) + Send + Sync),
    image: String,
    bytes: AtomicU64,
    layers: AtomicUsize,
    done: AtomicUsize,
    percent: AtomicU64,
}

impl<'a> Telling<'a> {
    fn new(image: &Image, told: &'a (dyn Fn(Happened) + Send + Sync)) -> Self {
        Self {
            told,
            image: image.reference.short_name().to_owned(),
            bytes: AtomicU64::new(0),
            layers: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            percent: AtomicU64::new(u64::MAX),
        }
    }

    fn hear(&self, event: PullEvent) {
        let order = Ordering::Relaxed;
        match event {
            PullEvent::Begun {
                layers,
                here,
                bytes,
            } => {
                self.layers.store(layers, order);
                self.done.store(here, order);
                self.bytes.store(bytes, order);
            }
            PullEvent::Waiting => (self.told)(Happened::Waits),
            PullEvent::Bytes { done } => {
                let all = self.bytes.load(order).max(1);
                let percent = (done.saturating_mul(100) / all).min(100);
                if self.percent.swap(percent, order) != percent {
                    self.tell(percent, done);
                }
            }
            PullEvent::Layer(_) => {
                self.done.fetch_add(1, order);
            }
        }
    }

    fn tell(&self, percent: u64, done: u64) {
        let order = Ordering::Relaxed;
        let (layers, all) = (self.layers.load(order), self.bytes.load(order));
        let text = format!(
            "{}: {} of {} MiB, {} of {layers} layers",
            self.image,
            done >> 20,
            all >> 20,
            self.done.load(order).min(layers),
        );
        (self.told)(Happened::Progress {
            percent: u8::try_from(percent).unwrap_or(100),
            text,
        });
    }
}
