//! Telling the distribution's own sources from those of others.
//!
//! A build that takes every source of the host breaks when one of somebody else cannot be
//! reached, and would put packages of others into the tree. A source is the distribution's own
//! when its suite is one of the release and its components are the distribution's, it can be
//! reached over the network, and one of these holds:
//!
//! * its keyring is the distribution's (`debian-archive-keyring`, `ubuntu-archive-keyring`);
//! * its host is the distribution's (`*.debian.org`, `*.ubuntu.com`);
//! * it names no keyring, and its path ends as mirrors' do (`/debian`, `/debian-security`, …).
//!
//! Only when none is found, those without a keyring that lead anywhere else are taken.

use super::parse::{SignedBy, Source};
use crate::record::Distribution;

/// What is known about a distribution that template `base` can be made of.
struct Kind {
    id: &'static str,
    domain: &'static str,
    keyring: &'static str,
    components: &'static [&'static str],
    paths: &'static [&'static str],
    /// Names of releases that are not codenames.
    aliases: &'static [&'static str],
}

const KINDS: &[Kind] = &[
    Kind {
        id: "debian",
        domain: "debian.org",
        keyring: "debian-archive",
        components: &["main", "contrib", "non-free", "non-free-firmware"],
        paths: &["debian", "debian-security"],
        aliases: &["stable", "testing", "unstable", "sid"],
    },
    Kind {
        id: "ubuntu",
        domain: "ubuntu.com",
        keyring: "ubuntu-archive",
        components: &["main", "restricted", "universe", "multiverse"],
        paths: &["ubuntu", "ubuntu-ports", "ubuntu-security"],
        aliases: &[],
    },
];

/// How sure it is that a source is the distribution's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trust {
    Foreign,
    Possible,
    Sure,
}

/// What was chosen.
#[derive(Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The release, such as `bookworm`.
    pub suite: String,
    /// Its sources, reduced to the suites and components that are the distribution's.
    pub sources: Vec<Source>,
}

/// True for the distributions that can be made from their sources.
pub fn is_known(distribution: &Distribution) -> bool {
    KINDS.iter().any(|kind| kind.id == distribution.id)
}

/// Chooses the sources of the distribution. `None` when there is none for its release.
pub fn choose(sources: &[Source], distribution: &Distribution) -> Option<Chosen> {
    let kind = KINDS.iter().find(|kind| kind.id == distribution.id)?;
    let codename = Some(distribution.codename.as_str()).filter(|name| !name.is_empty());
    let releases = codename.into_iter().chain(kind.aliases.iter().copied());
    releases
        .flat_map(|release| [(release, Trust::Sure), (release, Trust::Possible)])
        .find_map(|(release, least)| choose_release(sources, kind, release, least))
}

fn choose_release(sources: &[Source], kind: &Kind, release: &str, least: Trust) -> Option<Chosen> {
    let chosen: Vec<Source> = sources
        .iter()
        .filter_map(|source| reduce(source, kind, release, least))
        .collect();
    let has_release = |source: &Source| source.suites.iter().any(|suite| suite == release);
    chosen.iter().any(has_release).then(|| Chosen {
        suite: release.to_owned(),
        sources: chosen,
    })
}

/// The part of a source that is the distribution's.
fn reduce(source: &Source, kind: &Kind, release: &str, least: Trust) -> Option<Source> {
    let is_suite = |suite: &String| {
        let rest = suite.strip_prefix(release);
        rest.is_some_and(|rest| ["", "-updates", "-security", "/updates"].contains(&rest))
    };
    let is_component = |component: &String| kind.components.contains(&component.as_str());
    let reduced = Source {
        uris: filtered(&source.uris, |uri| trust(source, uri, kind) >= least),
        suites: filtered(&source.suites, is_suite),
        components: filtered(&source.components, is_component),
        ..source.clone()
    };
    let empty =
        reduced.uris.is_empty() || reduced.suites.is_empty() || reduced.components.is_empty();
    (!empty).then_some(reduced)
}

fn filtered(values: &[String], keep: impl Fn(&String) -> bool) -> Vec<String> {
    values.iter().filter(|value| keep(value)).cloned().collect()
}

fn trust(source: &Source, uri: &str, kind: &Kind) -> Trust {
    let Some((scheme, rest)) = uri.split_once("://") else {
        return Trust::Foreign;
    };
    // Other ways lead to the host's own files and devices, which the sandbox does not have.
    if !["http", "https", "mirror+http", "mirror+https"].contains(&scheme) {
        return Trust::Foreign;
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default();
    let own_host = host == kind.domain
        || host
            .strip_suffix(kind.domain)
            .is_some_and(|above| above.ends_with('.'));
    let own_path = path
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .is_some_and(|last| kind.paths.contains(&last));
    match &source.signed_by {
        _ if own_host => Trust::Sure,
        SignedBy::Keyrings(files) => {
            let own = files
                .iter()
                .any(|file| file.to_string_lossy().contains(kind.keyring));
            if own { Trust::Sure } else { Trust::Foreign }
        }
        SignedBy::Any | SignedBy::Inline(_) if own_path => Trust::Sure,
        SignedBy::Any | SignedBy::Inline(_) => Trust::Possible,
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::{lines, stanzas};
    use super::*;

    fn debian() -> Distribution {
        Distribution {
            id: "debian".into(),
            version: "12".into(),
            codename: "bookworm".into(),
        }
    }

    fn ubuntu() -> Distribution {
        Distribution {
            id: "ubuntu".into(),
            version: "24.04".into(),
            codename: "noble".into(),
        }
    }

    fn uris(chosen: Option<Chosen>) -> Vec<String> {
        let sources = chosen.map(|chosen| chosen.sources).unwrap_or_default();
        sources.into_iter().flat_map(|source| source.uris).collect()
    }

    #[test]
    fn sources_of_others_are_left_out() {
        let sources = lines(
            "deb http://ftp.de.debian.org/debian bookworm main\n\
             deb http://ftp.de.debian.org/debian bookworm-backports main\n\
             deb http://security.debian.org/debian-security bookworm-security main\n\
             deb https://cloud.example/apt cloud-sdk-bookworm main\n\
             deb [signed-by=/usr/share/keyrings/vendor.gpg] https://vendor.example/v20 nodistro main\n\
             deb https://engine.example/linux/debian bookworm stable\n\
             deb https://vendor.example/debian/12/prod bookworm main\n\
             deb [signed-by=/usr/share/keyrings/vendor.gpg] https://vendor.example bookworm main\n\
             deb [signed-by=/etc/apt/keyrings/evil.gpg] https://evil.example/debian bookworm main\n\
             deb http://database.example/apt bookworm-pgdg main\n\
             deb https://notdebian.org/x bookworm main\n\
             deb cdrom:[Debian]/ bookworm main\n\
             deb file:/srv/debian bookworm main\n",
        );
        let chosen = choose(&sources, &debian()).unwrap();
        assert_eq!(chosen.suite, "bookworm");
        assert_eq!(
            uris(Some(chosen)),
            [
                "http://ftp.de.debian.org/debian",
                "http://security.debian.org/debian-security"
            ]
        );
    }

    #[test]
    fn a_stanza_is_reduced_to_what_is_the_distributions() {
        let sources = stanzas(
            "Types: deb\nURIs: http://de.archive.ubuntu.com/ubuntu/\n\
             Suites: noble noble-updates noble-backports noble-proposed\n\
             Components: main universe partner\n\
             Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n",
        );
        let chosen = choose(&sources, &ubuntu()).unwrap();
        assert_eq!(chosen.sources[0].suites, ["noble", "noble-updates"]);
        assert_eq!(chosen.sources[0].components, ["main", "universe"]);
    }

    #[test]
    fn mirrors_count_by_keyring_or_path_and_others_only_when_nothing_else_is_there() {
        let mirror = "deb http://mirror.example/debian/ bookworm main\n";
        let keyed = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] \
                     https://nexus.example/apt-proxy bookworm main\n";
        let unknown = "deb https://proxy.example/apt bookworm main\n";
        let choose = |text: &str| uris(choose(&lines(text), &debian()));
        assert_eq!(
            choose(&[mirror, keyed, unknown].concat()),
            [
                "http://mirror.example/debian/",
                "https://nexus.example/apt-proxy"
            ]
        );
        assert_eq!(choose(unknown), ["https://proxy.example/apt"]);
    }

    #[test]
    fn releases_are_known_by_codename_before_alias() {
        let sources = lines("deb http://ftp.de.debian.org/debian sid main\n");
        assert_eq!(choose(&sources, &debian()).unwrap().suite, "sid");
        assert_eq!(choose(&sources, &ubuntu()), None);
        let old = "deb http://ftp.de.debian.org/debian bullseye main\n";
        assert_eq!(choose(&lines(old), &debian()), None);
        // Updates alone make no release.
        let updates = "deb http://ftp.de.debian.org/debian bookworm-updates main\n";
        assert_eq!(choose(&lines(updates), &debian()), None);
    }
}
