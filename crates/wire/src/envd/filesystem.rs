//! Messages of the service `filesystem.Filesystem`.

use super::json::{is_default, or_default, proto_enum};
use super::process::Empty;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

proto_enum! {
    /// What an entry is.
    FileType {
        /// Neither of the others, or a link that leads nowhere.
        Unspecified = 0 "FILE_TYPE_UNSPECIFIED",
        /// A regular file.
        File = 1 "FILE_TYPE_FILE",
        /// A directory.
        Directory = 2 "FILE_TYPE_DIRECTORY",
        /// A symbolic link.
        Symlink = 3 "FILE_TYPE_SYMLINK",
    }
}

proto_enum! {
    /// What happened to an entry.
    EventType {
        /// Nothing that the protocol knows.
        Unspecified = 0 "EVENT_TYPE_UNSPECIFIED",
        /// It appeared.
        Create = 1 "EVENT_TYPE_CREATE",
        /// Its content changed.
        Write = 2 "EVENT_TYPE_WRITE",
        /// It is gone.
        Remove = 3 "EVENT_TYPE_REMOVE",
        /// It left for another name.
        Rename = 4 "EVENT_TYPE_RENAME",
        /// Its owner, mode or attributes changed.
        Chmod = 5 "EVENT_TYPE_CHMOD",
    }
}

/// A file, directory or link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryInfo {
    /// The last part of its path.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// What it is; of a link, what its target is.
    #[serde(default, rename = "type")]
    pub kind: FileType,
    /// Its absolute path.
    #[serde(default, deserialize_with = "or_default")]
    pub path: String,
    /// Its size in bytes.
    #[serde(
        default,
        with = "super::json::long",
        skip_serializing_if = "is_default"
    )]
    pub size: i64,
    /// Permission bits, of a link those of its target.
    #[serde(
        default,
        with = "super::json::number",
        skip_serializing_if = "is_default"
    )]
    pub mode: u32,
    /// The mode in letters: `-rw-r--r--`.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "is_default"
    )]
    pub permissions: String,
    /// Its owner's name, or number where it has none.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "is_default"
    )]
    pub owner: String,
    /// Its group's name, or number where it has none.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "is_default"
    )]
    pub group: String,
    /// When its content changed last: RFC 3339 in UTC.
    #[serde(
        default,
        alias = "modified_time",
        deserialize_with = "or_default",
        skip_serializing_if = "is_default"
    )]
    pub modified_time: String,
    /// Where a link leads.
    #[serde(
        default,
        alias = "symlink_target",
        skip_serializing_if = "Option::is_none"
    )]
    pub symlink_target: Option<String>,
    /// What its upload attached to it.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "is_default"
    )]
    pub metadata: BTreeMap<String, String>,
}

/// Request of `Stat`, `MakeDir` and `Remove`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathRequest {
    /// Which entry.
    #[serde(default, deserialize_with = "or_default")]
    pub path: String,
}

/// Answer of `Stat`, `MakeDir` and `Move`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryResponse {
    /// The entry.
    #[serde(default)]
    pub entry: EntryInfo,
}

/// Request of `Move`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveRequest {
    /// What to move.
    #[serde(default, deserialize_with = "or_default")]
    pub source: String,
    /// Its new path.
    #[serde(default, deserialize_with = "or_default")]
    pub destination: String,
}

/// Request of `ListDir`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListDirRequest {
    /// Which directory.
    #[serde(default, deserialize_with = "or_default")]
    pub path: String,
    /// How many levels; 0 means 1.
    #[serde(
        default,
        with = "super::json::number",
        skip_serializing_if = "is_default"
    )]
    pub depth: u32,
}

/// Answer of `ListDir`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListDirResponse {
    /// Depth first, a directory before its entries, siblings by bytes.
    #[serde(default, deserialize_with = "or_default")]
    pub entries: Vec<EntryInfo>,
}

/// Request of `WatchDir` and `CreateWatcher`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WatchRequest {
    /// Which directory.
    #[serde(default, deserialize_with = "or_default")]
    pub path: String,
    /// Whether directories below count, also later ones.
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "is_default"
    )]
    pub recursive: bool,
    /// Whether events carry the entry.
    #[serde(
        default,
        alias = "include_entry",
        deserialize_with = "or_default",
        skip_serializing_if = "is_default"
    )]
    pub include_entry: bool,
    /// Whether a directory on a network file system may be watched.
    #[serde(
        default,
        alias = "allow_network_mounts",
        deserialize_with = "or_default",
        skip_serializing_if = "is_default"
    )]
    pub allow_network_mounts: bool,
}

/// Something happened below a watched directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesystemEvent {
    /// The entry's path, relative to the watched directory.
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// What happened.
    #[serde(default, rename = "type")]
    pub kind: EventType,
    /// The entry, if asked for and still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<EntryInfo>,
}

/// One message of the stream `WatchDir`: exactly one of the three.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchDirResponse {
    /// The watch is set. Always the first message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Empty>,
    /// Something happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<FilesystemEvent>,
    /// Nothing happened for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keepalive: Option<Empty>,
}

/// Names a watcher: answer of `CreateWatcher`, request of `GetWatcherEvents` and
/// `RemoveWatcher`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WatcherId {
    /// Its name.
    #[serde(default, alias = "watcher_id", deserialize_with = "or_default")]
    pub watcher_id: String,
}

/// Answer of `GetWatcherEvents`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatcherEvents {
    /// What happened since the last call.
    #[serde(default, deserialize_with = "or_default")]
    pub events: Vec<FilesystemEvent>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: serde::de::DeserializeOwned>(json: &str) -> T {
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    #[test]
    fn lenient_forms_are_read() {
        let watch = WatchRequest {
            path: "/a".into(),
            include_entry: true,
            allow_network_mounts: true,
            ..WatchRequest::default()
        };
        for json in [
            r#"{"path":"/a","includeEntry":true,"allowNetworkMounts":true}"#,
            r#"{"path":"/a","include_entry":true,"allow_network_mounts":true,"recursive":null}"#,
        ] {
            assert_eq!(read::<WatchRequest>(json), watch, "{json}");
        }
        for json in [r#"{"watcherId":"w1"}"#, r#"{"watcher_id":"w1"}"#] {
            assert_eq!(read::<WatcherId>(json).watcher_id, "w1");
        }
        for json in [r#"{"depth":"2"}"#, r#"{"depth":2,"path":null}"#] {
            assert_eq!(read::<ListDirRequest>(json).depth, 2);
        }
        for json in [
            r#"{"size":"7","type":"FILE_TYPE_FILE"}"#,
            r#"{"size":7,"type":1}"#,
            r#"{"size":7.0,"type":1,"modified_time":null}"#,
        ] {
            let entry = read::<EntryInfo>(json);
            assert_eq!((entry.size, entry.kind), (7, FileType::File), "{json}");
        }
        assert_eq!(
            read::<EntryInfo>(r#"{"size":"9223372036854775807"}"#).size,
            i64::MAX
        );
        assert!(serde_json::from_str::<EntryInfo>(r#"{"size":"9223372036854775808"}"#).is_err());
    }

    #[test]
    fn sizes_are_written_as_strings() {
        let entry = EntryInfo {
            name: "a".into(),
            size: 5,
            mode: 0o644,
            ..EntryInfo::default()
        };
        let text = r#"{"name":"a","type":"FILE_TYPE_UNSPECIFIED","path":"","size":"5","mode":420}"#;
        assert_eq!(serde_json::to_string(&entry).unwrap(), text);
    }
}
