//! Image trees: recipes, and what makes a template of them.

pub mod remove;
