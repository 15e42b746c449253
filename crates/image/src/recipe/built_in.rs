//! The recipes that come with SoulBox, as they are in `templates/`.

/// The path of a file in its recipe, whether it may be executed, and its content.
type File = (&'static str, bool, &'static [u8]);

macro_rules! files {
    ($recipe:literal: $($path:literal $(($executable:literal))?,)*) => {
        &[$((
            $path,
            files!(@ $($executable)?),
            include_bytes!(concat!("../../../../templates/", $recipe, "/", $path)),
        ),)*]
    };
    (@ $executable:literal) => { true };
    (@) => { false };
}

/// Each recipe with its files.
pub(super) const RECIPES: &[(&str, &[File])] = &[(
    "base",
    files! { "base":
        "recipe.toml",
        "build.sh" ("executable"),
        "packages",
        "root/etc/bash.bashrc",
        "root/etc/hostname",
        "root/etc/hosts",
        "root/etc/pip.conf",
        "root/etc/profile",
        "root/etc/resolv.conf",
        "root/etc/skel/.bashrc",
        "root/etc/skel/.profile",
        "root/etc/sudoers.d/user",
    },
)];
