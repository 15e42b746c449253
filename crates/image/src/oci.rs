//! OCI images: what they are called, what they are made of, and getting them from registries.
//!
//! | What | File |
//! |---|---|
//! | the name of an image, such as `debian:12` | [`reference`] |
//! | the name of content by its hash | [`digest`] |
//! | which machine an image is for | [`platform`] |
//! | manifests and indexes | [`manifest`] |
//! | what an image says about its processes and layers | [`config`] |
//! | the template that is made of it | [`record`] |
//! | getting them from registries | [`registry`] |
//! | images in files and directories: reading and writing them | [`archive`] |
//! | the tree of a layer, from its tar file | [`unpack`] |
//! | the tar file of a layer, from its tree | [`pack`] |

pub mod archive;
pub mod config;
pub mod digest;
pub mod manifest;
pub mod pack;
pub mod platform;
pub mod record;
pub mod reference;
pub mod registry;
pub mod unpack;
