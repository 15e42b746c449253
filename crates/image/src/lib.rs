//! Image trees: recipes, and what makes a template of them.
pub mod host;
pub mod layers;
pub mod lock;
pub mod measure;
pub mod record;
pub mod remove;
pub mod rfc3339;
pub mod staging;
pub mod tree;
