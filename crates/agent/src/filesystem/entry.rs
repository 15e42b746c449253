//! What is told of a file, directory or link.

use crate::account::Names;
use crate::calendar::rfc3339;
use crate::files::metadata;
use crate::path::base_name;
use soulbox_wire::envd::filesystem::{EntryInfo, FileType};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// What is at `path`: of a link its own size and time, and its target's kind and mode.
pub(crate) fn describe(path: &Path, names: &mut Names) -> io::Result<EntryInfo> {
    let own = path.symlink_metadata()?;
    let is_link = own.file_type().is_symlink();
    let target = if is_link {
        path.metadata().ok()
    } else {
        Some(own.clone())
    };
    let symlink_target = is_link.then(|| {
        let resolved = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        resolved.to_string_lossy().into_owned()
    });
    Ok(EntryInfo {
        name: base_name(path),
        kind: target.as_ref().map_or(FileType::Unspecified, kind),
        path: path.to_string_lossy().into_owned(),
        size: i64::try_from(own.len()).unwrap_or(i64::MAX),
        mode: target.map_or(0, |target| target.mode() & 0o777),
        permissions: permissions(&own),
        owner: names.user(own.uid()),
        group: names.group(own.gid()),
        modified_time: rfc3339(own.mtime(), u32::try_from(own.mtime_nsec()).unwrap_or(0)),
        symlink_target,
        metadata: if is_link {
            Default::default()
        } else {
            metadata::read(path)
        },
    })
}

fn kind(metadata: &Metadata) -> FileType {
    if metadata.is_file() {
        FileType::File
    } else if metadata.is_dir() {
        FileType::Directory
    } else {
        FileType::Unspecified
    }
}

/// The mode in letters as clients know it (Go's `FileMode`): the kind and special bits in front,
/// `-` if there is none of them, then three times `rwx`.
fn permissions(metadata: &Metadata) -> String {
    let (kind, mode) = (metadata.file_type(), metadata.mode());
    let letters = [
        (kind.is_dir(), 'd'),
        (kind.is_symlink(), 'L'),
        (kind.is_block_device() || kind.is_char_device(), 'D'),
        (kind.is_fifo(), 'p'),
        (kind.is_socket(), 'S'),
        (mode & 0o4000 != 0, 'u'),
        (mode & 0o2000 != 0, 'g'),
        (kind.is_char_device(), 'c'),
        (mode & 0o1000 != 0, 't'),
    ];
    let mut text: String = letters
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, letter)| *letter)
        .collect();
    if text.is_empty() {
        text.push('-');
    }
    let bits = (0..9).rev().zip("rwxrwxrwx".chars());
    text.extend(bits.map(|(bit, letter)| if mode & 1 << bit == 0 { '-' } else { letter }));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn modes_are_spelt_as_clients_know_them() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f");
        std::fs::write(&file, "x").unwrap();
        let spelt = |path: &Path, mode: u32| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
            permissions(&path.symlink_metadata().unwrap())
        };
        assert_eq!(spelt(&file, 0o644), "-rw-r--r--");
        assert_eq!(spelt(&file, 0o4755), "urwxr-xr-x");
        assert_eq!(spelt(directory.path(), 0o1777), "dtrwxrwxrwx");
        assert_eq!(
            permissions(&Path::new("/dev/null").metadata().unwrap()),
            "Dcrw-rw-rw-"
        );
        let link = directory.path().join("l");
        std::os::unix::fs::symlink("f", &link).unwrap();
        assert_eq!(permissions(&link.symlink_metadata().unwrap()), "Lrwxrwxrwx");
    }
}
