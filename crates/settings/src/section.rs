//! The settings themselves, one file for each section of `soulbox.toml`.

/// Declares a section: each line is one setting with its documentation, type, default (a function
/// of the host) and accepted values.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $section:literal $type:ident {
            $(
                $(#[doc = $doc:literal])+
                $name:ident: $kind:ty = $default:expr, $accept:expr;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $type {
            $(
                $(#[doc = $doc])+
                pub $name: $kind,
            )+
        }

        impl $type {
            pub(crate) fn read(
                reader: &mut $crate::reader::Reader<'_>,
            ) -> Result<Self, $crate::load::SettingError> {
                Ok(Self {
                    $($name: reader.read::<$kind>(
                        &$crate::reader::Definition {
                            section: $section,
                            name: stringify!($name),
                            about: concat!($($doc),+),
                        },
                        $default,
                        &$accept,
                    )?,)+
                })
            }
        }
    };
}

mod agent;
mod client;
mod commands;
mod execute;
mod log;
mod network;
mod node;
mod paths;
mod pool;
mod registry;
mod sandbox;
mod server;
mod spawner;
mod storage;
mod store;
mod template;
mod zygote;

pub use agent::Agent;
pub use client::Client;
pub use commands::Commands;
pub use execute::Execute;
pub use log::Log;
pub use network::Network;
pub use node::Node;
pub use paths::Paths;
pub use pool::Pool;
pub use registry::Registry;
pub use sandbox::Sandbox;
pub use server::Server;
pub use spawner::Spawner;
pub use storage::Storage;
pub use store::Store;
pub use template::Template;
pub use zygote::Zygote;
