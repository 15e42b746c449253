//! Image trees: recipes, and what makes a template of them. Runs nothing by itself.
//!
//! | What | File |
//! |---|---|
//! | the built-in template `host` | [`host`] |
//! | what a recipe says, and its files | [`recipe`] |
//! | the host's package sources, for recipes that build from them | [`sources`] |
//! | how the host reaches the registries of pip and npm, for the same | [`registries`] |
//! | everything around a recipe's script | [`build`], [`progress`] |
//! | what is written down about a template | [`record`], [`rfc3339`] |
//! | the interpreter that is copied into sandboxes | [`zygote`] |
//! | images of registries | [`oci`] |
//! | looking into a template's layers from outside | [`layers`] |
//! | layers that templates share | [`layer_store`] |
//! | what a build is made of | [`steps`] |
//! | a Dockerfile, as what a build is made of | [`dockerfile`] |
//! | copying files into a layer | [`copy`] |
//! | a tree of links to another one's files | [`clone`] |
//! | what a sandbox wrote as a layer | [`settle`] |
//! | the directory that a build copies files from | [`context`] |
//! | how large a tree is | [`measure`] |
//! | writing a tree with its owners | [`tree`] |
//! | directories that appear complete or not at all | [`staging`], [`lock`] |
//! | removing a tree that resists | [`remove`] |

pub mod build;
pub mod clone;
pub mod context;
pub mod copy;
pub mod dockerfile;
pub mod host;
pub mod layer_store;
pub mod layers;
pub mod lock;
pub mod measure;
pub mod oci;
pub mod progress;
pub mod recipe;
pub mod record;
pub mod registries;
pub mod remove;
pub mod rfc3339;
pub mod settle;
pub mod sources;
pub mod staging;
pub mod steps;
pub mod tree;
pub mod zygote;
