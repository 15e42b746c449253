//! The recipes that come with SoulBox, as they are in `templates/`, and the trees that recipes may
//! have beside their own files, such as the kernels in `kernels/`. The bridge to kernels of Jupyter is a program of ours
//! that is one of these trees.

use super::RecipeFile;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// The path of a file in its tree, whether it may be executed, and its content.
type File = (&'static str, bool, &'static [u8]);

include!(concat!(env!("OUT_DIR"), "/trees.rs"));

/// Where recipes are among the trees.
const RECIPES: &str = "templates/";

/// The tree of the bridge, and its only file.
static BRIDGE: (&str, [File; 1]) = (
    "kernels/jupyter",
    [("soulbox-jupyter", true, soulbox_runtime::programs::JUPYTER)],
);

/// The names of the recipes.
pub(super) fn recipes() -> impl Iterator<Item = &'static str> {
    names().filter_map(|name| name.strip_prefix(RECIPES))
}

/// The files of a recipe.
pub(super) fn recipe(name: &str) -> Option<Vec<RecipeFile>> {
    tree(&format!("{RECIPES}{name}"), Path::new(""))
}

/// The names of all trees, `templates/base` among them.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TREES.iter().map(|(name, _)| *name).chain([BRIDGE.0])
}

/// The files of a tree, below the directory `place`.
pub(super) fn tree(name: &str, place: &Path) -> Option<Vec<RecipeFile>> {
    let bridge = (BRIDGE.0, BRIDGE.1.as_slice());
    let mut trees = TREES.iter().copied().chain([bridge]);
    let (_, files) = trees.find(|(known, _)| *known == name)?;
    let file = |(path, executable, content): &File| RecipeFile {
        path: PathBuf::from(place).join(path),
        executable: *executable,
        content: Cow::Borrowed(*content),
    };
    Some(files.iter().map(file).collect())
}
