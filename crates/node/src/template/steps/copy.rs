//! Files that are copied in: chosen by the rules of Dockerfiles, hashed, and written into a layer
//! whose place for each is looked up in the layers below. No sandbox is needed: nothing is run.

use super::state::State;
use super::{At, StepBuilder, StepError, blocking};
use soulbox_image::context::{Chosen, Context, ContextError};
use soulbox_image::copy::{Belongs, CopyError, Target};
use soulbox_image::layer_store::{HeldLayer, NewLayer};
use soulbox_image::layers::Layers;
use soulbox_image::steps::{Copy, CopyFrom, Place, Run, RunMount, Step, StepKind};
use soulbox_runtime::native::merged;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most bytes that one step copies.
const MAX_BYTES: u64 = 64 << 30;
/// The first bytes of a file that gzip made.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What a COPY takes, and from where.
pub(super) struct Source {
    copy: Copy,
    context: Arc<Context>,
    chosen: Chosen,
    /// What an upload was unpacked into, until the step is done.
    _unpacked: Option<NewLayer>,
}

impl StepBuilder<'_> {
    /// The layer with what a COPY copies.
    pub(super) async fn copy(
        &self,
        (at, step): (At, &Step),
        copy: &Copy,
        state: &State,
        done: &HashMap<usize, State>,
    ) -> Result<HeldLayer, StepError> {
        let source = Arc::new(self.source(copy, done).await?);
        let owner = copy.place.owner.clone().unwrap_or_else(|| match copy.from {
            CopyFrom::Upload { .. } => state.user.clone(),
            _ => "0:0".to_owned(),
        });
        let below = state.trees(Path::new("/nonexistent"));
        let belongs = Belongs::parse(&owner, &below).map_err(|error| failed(copy, &error))?;
        let mut inputs = source.chosen.digest().to_vec();
        inputs.extend(belongs.uid.to_le_bytes());
        inputs.extend(belongs.gid.to_le_bytes());
        let kind = StepKind::Copy(Copy {
            // What is in them is in the digest, whatever they are called.
            from: CopyFrom::Context,
            sources: Vec::new(),
            excludes: Vec::new(),
            ..copy.clone()
        });
        let key = state.key_of(&kind, &inputs);
        let copy = copy.clone();
        let to = target(&copy, state);
        self.layer((at, step), state.forced, key, |new| {
            Box::pin(blocking(move || {
                write(&copy, &source, (&below, belongs), &to, &new)?;
                Ok(new)
            }))
        })
        .await
    }

    /// Chooses what the bind mounts of a RUN show, in their order.
    pub(super) async fn bound(
        &self,
        run: &Run,
        done: &HashMap<usize, State>,
    ) -> Result<Vec<Arc<Source>>, StepError> {
        let mut bound = Vec::new();
        for mount in &run.mounts {
            let RunMount::Bind { from, source, .. } = mount else {
                continue;
            };
            let source = match from {
                CopyFrom::Inline { name, .. } => name.clone(),
                _ => source.clone(),
            };
            let copy = Copy {
                from: from.clone(),
                sources: vec![source],
                excludes: Vec::new(),
                place: Place {
                    to: "/".to_owned(),
                    owner: None,
                    // A text in the file may be a script.
                    mode: matches!(from, CopyFrom::Inline { .. }).then_some(0o755),
                },
                unpack: false,
            };
            let source = self.source(&copy, done).await?;
            bound.push(Arc::new(Source { copy, ..source }));
        }
        Ok(bound)
    }

    /// Chooses what is copied.
    async fn source(&self, copy: &Copy, done: &HashMap<usize, State>) -> Result<Source, StepError> {
        let from = match &copy.from {
            CopyFrom::Context => {
                let given = self.sources.context();
                From::Context(given.ok_or_else(|| StepError::NotGiven("a context".into()))?)
            }
            CopyFrom::Upload { hash } => {
                let file = self.sources.upload(hash);
                let missing = || StepError::NotGiven(format!("the upload {hash}"));
                From::Upload(file.ok_or_else(missing)?, self.store.layers().begin()?)
            }
            CopyFrom::Stage(number) => {
                let state = done.get(number);
                let missing = || StepError::NotGiven(format!("stage {number}"));
                From::Layers(
                    state.ok_or_else(missing)?.clone(),
                    format!("stage {number}"),
                )
            }
            CopyFrom::Image(reference) => {
                let ground = self.sources.image(reference, None, &|_| {}).await?;
                From::Layers(State::of_image(ground), format!("image {reference}"))
            }
            CopyFrom::Inline { name, content } => {
                let new = self.store.layers().begin()?;
                let name = Path::new(name).file_name().unwrap_or("inline".as_ref());
                std::fs::write(new.tree().join(name), content)
                    .map_err(|source| super::run::files("write the step's file", source))?;
                From::Tree(new)
            }
        };
        let copy = copy.clone();
        blocking(move || open(&copy, from)).await
    }
}

impl Source {
    /// What tells whether two of them have the same in them.
    pub(super) fn digest(&self) -> &[u8; 32] {
        self.chosen.digest()
    }

    /// Writes it to the new directory `place`. Gives what is mounted: that, or the one file in it.
    pub(super) fn lay(&self, place: &Path) -> Result<PathBuf, StepError> {
        let shown = |error: &dyn std::error::Error| failed(&self.copy, error);
        std::fs::create_dir(place).map_err(|error| shown(&error))?;
        let nothing = Layers::default();
        let mode = self.copy.place.mode;
        let mut target = Target::new(place, &nothing, Belongs::ROOT, mode, MAX_BYTES);
        let name = self.chosen.one_file.then_some(Path::new("file"));
        pass(&self.copy, self, &mut target, (Path::new("/"), name))?;
        Ok(match name {
            Some(name) => place.join(name),
            None => place.to_owned(),
        })
    }
}

/// Makes the directory of a WORKDIR for the user of the step, whoever may write above it.
pub(super) fn make_directory(
    path: &str,
    (below, user): (&Layers, &str),
    new: &NewLayer,
) -> Result<(), StepError> {
    let shown = |error: CopyError| StepError::Copy {
        what: format!("directory {path}"),
        why: match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    };
    let belongs = Belongs::parse(user, below).map_err(shown)?;
    let mut target = Target::new(new.tree(), below, belongs, None, MAX_BYTES);
    target.make_directory(Path::new(path)).map_err(shown)
}

/// Where files are copied from.
enum From {
    Context(Arc<Context>),
    Upload(PathBuf, NewLayer),
    Layers(State, String),
    Tree(NewLayer),
}

fn open(copy: &Copy, from: From) -> Result<Source, StepError> {
    let shown = |error: &dyn std::error::Error| failed(copy, error);
    let tree_of = |trees: &[PathBuf], name: &str| -> Result<_, StepError> {
        let root = merged::open(trees).map_err(|error| shown(&error))?;
        Ok(Arc::new(Context::of_tree(root, Path::new(name))))
    };
    let (context, unpacked) = match from {
        From::Context(context) => (context, None),
        From::Upload(file, new) => {
            let nothing = Layers::default();
            let mut aside = Target::new(new.tree(), &nothing, Belongs::ROOT, None, MAX_BYTES);
            let file = File::open(file).map_err(|error| shown(&error))?;
            unpack(file, &mut aside, Path::new("/")).map_err(|error| shown(&*error))?;
            (tree_of(&[new.tree().to_owned()], "the upload")?, Some(new))
        }
        From::Tree(new) => (tree_of(&[new.tree().to_owned()], "the text")?, Some(new)),
        From::Layers(state, name) => {
            let layers = state.trees(Path::new("/nonexistent"));
            let trees: Vec<_> = std::iter::once(layers.rootfs).chain(layers.below).collect();
            (tree_of(&trees, &name)?, None)
        }
    };
    let sources = match copy.sources.is_empty() {
        true => vec![".".to_owned()],
        false => copy.sources.clone(),
    };
    let chosen = context.choose(&sources, &copy.excludes);
    Ok(Source {
        copy: copy.clone(),
        chosen: chosen.map_err(|error| shown(&error))?,
        context,
        _unpacked: unpacked,
    })
}

/// Unpacks a tar file, be it one that gzip made smaller.
fn unpack(
    mut file: File,
    target: &mut Target<'_>,
    to: &Path,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut begin = [0; 2];
    let zipped = file.read_exact(&mut begin).is_ok() && begin == GZIP;
    file.rewind()?;
    match zipped {
        true => target.untar(flate2::read::MultiGzDecoder::new(file), to, None)?,
        false => target.untar(file, to, None)?,
    };
    Ok(())
}

/// Whether a file is one that [`unpack`] takes.
fn is_archive(file: &mut File) -> std::io::Result<bool> {
    let mut begin = Vec::new();
    file.take(512).read_to_end(&mut begin)?;
    file.rewind()?;
    // The magic of POSIX's header, at its place in the first block.
    let tar = begin.get(257..262) == Some(b"ustar");
    Ok(tar || begin.starts_with(&GZIP))
}

/// Where files go: a path without `..`, with a `/` at its end when it is to be a directory.
fn target(copy: &Copy, state: &State) -> String {
    let to = state.absolute(&copy.place.to);
    let directory = copy.place.to.ends_with(['/', '.']) || copy.place.to.is_empty();
    match directory && !to.ends_with('/') {
        true => to + "/",
        false => to,
    }
}

fn write(
    copy: &Copy,
    source: &Source,
    (below, belongs): (&Layers, Belongs),
    to: &str,
    new: &NewLayer,
) -> Result<(), StepError> {
    let shown = |error: &dyn std::error::Error| failed(copy, error);
    let mut target = Target::new(new.tree(), below, belongs, copy.place.mode, MAX_BYTES);
    let path = Path::new(to);
    // One file may get a new name; everything else goes into a directory.
    let renamed = source.chosen.one_file && !to.ends_with('/') && !target.is_directory(path);
    let (directory, name) = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if renamed => (parent, Some(Path::new(name))),
        _ => (path, None),
    };
    if copy.unpack && source.chosen.one_file {
        let aside = new.aside("archive");
        std::fs::create_dir(&aside).map_err(|error| shown(&error))?;
        let nothing = Layers::default();
        let mut beside = Target::new(&aside, &nothing, Belongs::ROOT, None, MAX_BYTES);
        pass(
            copy,
            source,
            &mut beside,
            (Path::new("/"), Some(Path::new("file"))),
        )?;
        let mut file = File::open(aside.join("file")).map_err(|error| shown(&error))?;
        if is_archive(&mut file).map_err(|error| shown(&error))? {
            return unpack(file, &mut target, path).map_err(|error| shown(&*error));
        }
    }
    pass(copy, source, &mut target, (directory, name))
}

/// Passes what was chosen on: read on a thread of its own, written here.
fn pass(
    copy: &Copy,
    source: &Source,
    target: &mut Target<'_>,
    (directory, name): (&Path, Option<&Path>),
) -> Result<(), StepError> {
    let shown = |error: &dyn std::error::Error| failed(copy, error);
    let (reader, mut writer) = std::io::pipe().map_err(|error| shown(&error))?;
    std::thread::scope(|scope| {
        let read = scope.spawn(move || source.chosen.write_tar(&source.context, &mut writer));
        let written = target.untar(reader, directory, name);
        match read.join() {
            // That nobody took the rest is told by who did not.
            Ok(Err(ContextError::Write(_))) if written.is_err() => {}
            Ok(Err(error)) => return Err(shown(&error)),
            _ => {}
        }
        written.map(drop).map_err(|error| shown(&error))
    })
}

fn failed(copy: &Copy, error: &dyn std::error::Error) -> StepError {
    let mut why = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        why.push_str(": ");
        why.push_str(&error.to_string());
        source = error.source();
    }
    StepError::Copy {
        what: copy.sources.join(" "),
        why,
    }
}
