//! Whether Python's packages are still those of the template: a copy of the zygote has what that had
//! imported, whatever was installed since.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Directories below which each version of Python has its packages.
const LIBRARIES: [&str; 3] = ["/usr/local/lib", "/usr/lib", "/opt/venv/lib"];

/// What packages lie in, below the directory of a version.
const PLACES: [&str; 2] = ["dist-packages", "site-packages"];

/// Versions that are looked at in one directory; what is inside may make more.
const VERSIONS: usize = 16;

/// Whether packages for everybody, or those of the user whose home this is, were added, removed or
/// replaced since `start`. What is changed within a package's own directory is not seen.
pub(crate) fn changed_since(start: SystemTime, home: &str) -> bool {
    let own = Path::new(home).join(".local/lib");
    // A template's own users have none, so those that are there came later.
    let own = places(&own).iter().any(|place| place.exists());
    let everybody = LIBRARIES
        .iter()
        .flat_map(|library| places(Path::new(library)));
    own || everybody.into_iter().any(|place| is_newer(&place, start))
}

/// Where the versions of Python below `library` have their packages.
fn places(library: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(library).into_iter().flatten().flatten();
    let versions = entries.filter(|entry| {
        let name = entry.file_name();
        name.as_encoded_bytes().starts_with(b"python3")
    });
    let versions = versions.take(VERSIONS).map(|entry| entry.path());
    versions
        .flat_map(|version| PLACES.map(|place| version.join(place)))
        .collect()
}

/// Pip and Linux distributions add a directory for each package, by which this one changes.
fn is_newer(directory: &Path, start: SystemTime) -> bool {
    let modified = fs::metadata(directory).and_then(|known| known.modified());
    modified.is_ok_and(|modified| modified >= start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_package_that_is_added_is_seen() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().to_str().unwrap();
        let later = SystemTime::now() + Duration::from_secs(3600);
        assert!(!changed_since(later, path));
        fs::create_dir_all(home.path().join(".local/lib/python3.11/site-packages")).unwrap();
        assert!(changed_since(later, path));
    }

    #[test]
    fn a_directory_is_newer_once_something_is_put_into_it() {
        let library = tempfile::tempdir().unwrap();
        let place = library.path().join("python3.11/dist-packages");
        fs::create_dir_all(&place).unwrap();
        fs::create_dir_all(library.path().join("perl5/site-packages")).unwrap();
        let found = places(library.path());
        assert_eq!(found.iter().filter(|place| place.exists()).count(), 1);
        let made = fs::metadata(&place).unwrap().modified().unwrap();
        let after = made + Duration::from_nanos(1);
        assert!(!is_newer(&place, after));
        fs::create_dir(place.join("numpy-2.0.dist-info")).unwrap();
        assert!(is_newer(&place, after));
    }
}
