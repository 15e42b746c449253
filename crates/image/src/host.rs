//! The built-in template `host`: the host's `/usr`, read-only, below an `/etc` of its own.
//!
//! It makes the first command work without any download. It is for a first try and for
//! development: what the host's packages change under `/usr` changes in running sandboxes too.
//!
//! [`prepare`] makes the part that is not `/usr`, in about 50 ms, and makes it anew when the host
//! changed what it is made from.
//!
//! | What | File |
//! |---|---|
//! | reading the host | [`root`] |
//! | what comes from the host's `/etc`, with a reason for each | [`carried`] |
//! | what the template has of its own | `skeleton` |
//! | users and groups | [`accounts`] |
//! | whether it is still true | `stamp` |

pub mod accounts;
pub mod carried;
pub mod root;
mod skeleton;
mod stamp;

pub use root::HostRoot;
pub use skeleton::NotMerged;

use crate::layers::Layers;
use crate::lock::Lock;
use crate::measure::{MeasureError, measure};
use crate::record::{RecordError, TemplateRecord, UsrFrom};
use crate::staging::{Staging, StagingError, Survive, make_private};
use crate::tree::Tree;
use crate::zygote::Zygote;
use soulbox_model::TemplateName;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file in the template's directory that tells what it was made from.
const STAMP: &str = "stamp";
/// How often it is tried when the host changes meanwhile.
const ATTEMPTS: u32 = 5;

/// Why template `host` could not be made.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Reading the host or writing the tree failed.
    #[error("cannot make template host from the host's /usr and /etc")]
    Files(#[source] io::Error),
    /// The host is not of the form that the template needs.
    #[error(transparent)]
    NotMerged(NotMerged),
    /// The directory could not be made or put in its place.
    #[error("cannot make template host")]
    Staging(#[from] StagingError),
    /// The finished tree could not be measured.
    #[error("cannot make template host")]
    Measure(#[from] MeasureError),
    /// The record could not be written.
    #[error("cannot make template host")]
    Record(#[from] RecordError),
    /// The host changed all the time.
    #[error("the host's /etc changes all the time: try again when its package manager is done")]
    Restless,
}

impl From<io::Error> for HostError {
    fn from(error: io::Error) -> Self {
        match error.downcast::<NotMerged>() {
            Ok(not_merged) => Self::NotMerged(not_merged),
            Err(error) => Self::Files(error),
        }
    }
}

/// What [`prepare`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepared {
    /// It was there and is still true.
    Kept,
    /// It was made, or made anew.
    Made,
}

/// Makes the template `host` in the directory `target`, whose parent is the store of templates,
/// unless it is there and nothing that it was made from has changed. Safe to call from several
/// processes at once; what it replaces stays for as long as somebody uses it.
///
/// # Errors
/// [`HostError`].
pub fn prepare(target: &Path, host: &HostRoot) -> Result<Prepared, HostError> {
    let (Some(store), Some(name)) = (target.parent(), target.file_name().and_then(|n| n.to_str()))
    else {
        return Err(HostError::Files(io::ErrorKind::InvalidInput.into()));
    };
    if is_true(target, host)? {
        return Ok(Prepared::Kept);
    }
    make_private(store)?;
    let _one_at_a_time = Lock::exclusive(&store.join(format!(".{name}.lock")))?;
    for _ in 0..ATTEMPTS {
        if is_true(target, host)? {
            return Ok(Prepared::Kept);
        }
        let staging = Staging::new(store)?;
        let stamp = stamp::take(host)?;
        make(staging.path(), host)?;
        // What changed while it was read may be half old and half new.
        if stamp::holds(host, &stamp)? {
            fs::write(staging.path().join(STAMP), stamp)?;
            staging.publish(name, Survive::ProcessEnd)?;
            return Ok(Prepared::Made);
        }
    }
    Err(HostError::Restless)
}

/// The layers of a template in `target` that was made from `host`.
pub fn layers(target: &Path, host: &HostRoot) -> Layers {
    Layers {
        rootfs: target.join(crate::record::ROOTFS),
        usr: Some(host.usr()),
        ..Layers::default()
    }
}

fn is_true(target: &Path, host: &HostRoot) -> io::Result<bool> {
    match fs::read_to_string(target.join(STAMP)) {
        Ok(stamp) => stamp::holds(host, &stamp),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn make(directory: &Path, host: &HostRoot) -> Result<(), HostError> {
    let rootfs: PathBuf = directory.join(crate::record::ROOTFS);
    let tree = Tree::create(&rootfs, host.owners())?;
    carried::copy(host, &tree)?;
    skeleton::make(host, &tree)?;
    let layers = layers(directory, host);
    let mut record = TemplateRecord::new(TemplateName::host(), &layers, measure(&rootfs)?);
    record.description = "the host's own /usr; for a first try and for development".to_owned();
    record.usr = UsrFrom::Host;
    let python = layers
        .program("python3")
        .and_then(|path| path.to_str().map(str::to_owned));
    record.zygote = python.map(|python| Zygote {
        python,
        kernels: None,
        preload: Vec::new(),
    });
    record.write(directory)?;
    Ok(())
}
