//! What a Dockerfile refers to and the command line gives: files, secrets, caches, images.

use crate::exit::Exit;
use crate::failure::Failure;
use sha2::{Digest, Sha256};
use soulbox_image::context::{Context, ContextError};
use soulbox_image::steps::RegistryAuth;
use soulbox_node::template::images::Images;
use soulbox_node::template::steps::{Boxed, Happened, ImageGround, Sources, StepError};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most bytes of a secret.
const MAX_SECRET: u64 = 1 << 20;
/// Below the data directory: what cache mounts keep.
const CACHES: &str = "templates/.caches";

/// What one build is given.
#[derive(Debug)]
pub(super) struct Given {
    context: Arc<Context>,
    secrets: HashMap<String, Vec<u8>>,
    caches: PathBuf,
    images: Images,
}

impl Given {
    /// What its images are asked for by.
    pub(super) fn images(&self) -> &Images {
        &self.images
    }

    pub(super) fn new(
        directory: &Path,
        file: &Path,
        secrets: &[String],
        data_dir: &Path,
        images: Images,
    ) -> Result<Self, Failure> {
        let context = Context::open(directory, Some(file)).map_err(|error| match &error {
            ContextError::Ignore { .. } => Failure::of(Exit::USAGE, &error),
            _ => Failure::of(Exit::NOT_FOUND, &error),
        })?;
        Ok(Self {
            context: Arc::new(context),
            secrets: secrets
                .iter()
                .map(|text| secret(text))
                .collect::<Result<_, _>>()?,
            caches: data_dir.join(CACHES),
            images,
        })
    }
}

impl Sources for Given {
    fn context(&self) -> Option<Arc<Context>> {
        Some(Arc::clone(&self.context))
    }

    fn secret(&self, id: &str) -> Option<Vec<u8>> {
        self.secrets.get(id).cloned()
    }

    /// A cache's name is often a path, so the directory is called by its hash.
    fn cache(&self, id: &str) -> Option<PathBuf> {
        let mut name = String::new();
        for byte in Sha256::digest(id.as_bytes()) {
            let _ = write!(name, "{byte:02x}");
        }
        let path = self.caches.join(name);
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&path);
        made.ok().map(|()| path)
    }

    fn image<'a>(
        &'a self,
        reference: &'a str,
        auth: Option<&'a RegistryAuth>,
        told: &'a (dyn Fn(Happened) + Send + Sync),
    ) -> Boxed<'a, Result<ImageGround, StepError>> {
        self.images.image(reference, auth, told)
    }
}

/// `id=NAME,src=FILE`, `id=NAME,env=VARIABLE`, or one of the two alone: then it is the name too.
fn secret(text: &str) -> Result<(String, Vec<u8>), Failure> {
    let refused = |why: &str| {
        Failure::new(Exit::USAGE, format!("--secret {text}: {why}"))
            .help("write id=NAME,src=FILE or id=NAME,env=VARIABLE")
    };
    let (mut id, mut file, mut variable) = (None, None, None);
    for field in text.split(',') {
        match field.split_once('=') {
            Some(("id", value)) if !value.is_empty() => id = Some(value),
            Some(("src" | "source", value)) => file = Some(value),
            Some(("env", value)) => variable = Some(value),
            Some(("type", "file" | "env")) => {}
            _ => return Err(refused(&format!("{field:?} is not understood"))),
        }
    }
    let id = id.ok_or_else(|| refused("it has no id"))?;
    let content = match (file, variable) {
        (Some(file), None) => read(Path::new(file))?,
        (None, Some(variable)) => of_variable(variable)?,
        // As Docker does: the variable of that name, or else the file.
        (None, None) => match std::env::var_os(id) {
            Some(_) => of_variable(id)?,
            None => read(Path::new(id))?,
        },
        (Some(_), Some(_)) => return Err(refused("src and env exclude each other")),
    };
    Ok((id.to_owned(), content))
}

fn of_variable(name: &str) -> Result<Vec<u8>, Failure> {
    use std::os::unix::ffi::OsStringExt as _;
    match std::env::var_os(name) {
        Some(value) => Ok(value.into_vec()),
        None => Err(Failure::new(
            Exit::NOT_FOUND,
            format!("the variable {name} of a secret is not set"),
        )),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    let read =
        fs::File::open(path).and_then(|file| file.take(MAX_SECRET + 1).read_to_end(&mut content));
    match read {
        Ok(_) if content.len() as u64 <= MAX_SECRET => Ok(content),
        Ok(_) => Err(Failure::new(
            Exit::USAGE,
            format!("{} has more than 1 MiB: that is no secret", path.display()),
        )),
        Err(error) => {
            let what = format!("cannot read the secret {}", path.display());
            Err(Failure::new(Exit::NOT_FOUND, what).because(&error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_from_files_and_variables() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(&path, "hush").unwrap();
        let of_file = format!("id=a,src={}", path.display());
        assert_eq!(secret(&of_file).unwrap(), ("a".into(), b"hush".to_vec()));
        let (id, content) = secret("id=b,env=PATH").unwrap();
        assert_eq!((id.as_str(), content.is_empty()), ("b", false));
        assert_eq!(secret("id=PATH").unwrap().1, content);
        for text in [
            "",
            "a",
            "src=x",
            "id=",
            "id=a,src=/no/such",
            "id=a,env=NO_SUCH_ONE",
            "id=a,src=x,env=y",
            "id=a,x=y",
        ] {
            assert!(secret(text).is_err(), "{text}");
        }
    }
}
