//! Messages of E2B's envd, as the agent serves them: JSON in the proto3 mapping.
//!
//! Reading is lenient where proto3's JSON is (see [`json`]); writing is the strict form that
//! every client takes. Unknown fields are ignored in both directions.

pub mod filesystem;
pub mod http;
pub mod json;
pub mod output;
pub mod process;
pub mod signal;
