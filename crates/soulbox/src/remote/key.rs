//! The key that a server is shown. Never an argument: everybody on the machine can read those.

use crate::cmd::serve::Credentials;
use crate::environment::Environment;
use crate::exit::Exit;
use crate::failure::Failure;
use soulbox_client::url::Url;
use soulbox_model::ApiKey;
use soulbox_settings::Source as _;
use std::path::Path;

/// Variables that may hold it, the first that is set counts. The second is E2B's.
const VARIABLES: [&str; 2] = ["SOULBOX_API_KEY", "E2B_API_KEY"];

/// What to do without a key.
const HELP: &str = "start one: soulbox serve; or set SOULBOX_API_KEY, give --api-key-file FILE, or the --data-dir of the server";

/// Finds the key for the server at `url`. The file that a server wrote counts for that server alone.
///
/// # Errors
/// There is none, or what there is cannot be one.
pub(crate) fn find(
    file: Option<&Path>,
    url: &Url,
    credentials: Option<&Credentials>,
) -> Result<ApiKey, Failure> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let what = format!("cannot read the key file {}", path.display());
            Failure::new(Exit::NOT_FOUND, what).because(&error)
        })?;
        return read(&text, &format!("the file {}", path.display()));
    }
    for name in VARIABLES {
        let text = Environment.variable(name).filter(|text| !text.is_empty());
        if let Some(text) = text {
            return read(&text.to_string_lossy(), &format!("the variable {name}"));
        }
    }
    let own = credentials.filter(|own| {
        let mut urls = [Some(&own.url), own.tls_url.as_ref()].into_iter().flatten();
        urls.any(|own| Url::parse(own).is_ok_and(|own| own == *url))
    });
    match own.and_then(|own| own.api_key.as_deref()) {
        Some(text) => read(text, "the file of the server"),
        None => Err(Failure::new(
            Exit::SERVER,
            format!("there is no key for the server at {url}"),
        )
        .help(HELP)),
    }
}

fn read(text: &str, from: &str) -> Result<ApiKey, Failure> {
    ApiKey::given(text.trim()).ok_or_else(|| {
        Failure::new(Exit::USAGE, format!("the key of {from} cannot be one"))
            .help("a key has up to 256 visible ASCII characters, without spaces")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_one_server_is_not_shown_to_another() {
        let credentials = Credentials {
            url: "http://127.0.0.1:3000".to_owned(),
            tls_url: Some("https://box.example:8443".to_owned()),
            api_key: Some("e2b_00".to_owned()),
        };
        let ask = |url: &str| {
            let url = Url::parse(url).unwrap();
            find(None, &url, Some(&credentials))
        };
        assert_eq!(ask("http://127.0.0.1:3000/").unwrap().reveal(), "e2b_00");
        assert_eq!(ask("https://box.example:8443").unwrap().reveal(), "e2b_00");
        for other in [
            "http://127.0.0.2:3000",
            "http://box.example:8443",
            "https://127.0.0.1:3000",
        ] {
            assert_eq!(ask(other).unwrap_err().exit, Exit::SERVER, "{other}");
        }
    }

    #[test]
    fn a_file_holds_one_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let url = Url::parse("http://h:1").unwrap();
        let ask = || find(Some(&path), &url, None).map(|key| key.reveal().to_owned());
        assert_eq!(ask().unwrap_err().exit, Exit::NOT_FOUND);
        std::fs::write(&path, "e2b_01\n").unwrap();
        assert_eq!(ask().unwrap(), "e2b_01");
        std::fs::write(&path, "two words").unwrap();
        assert_eq!(ask().unwrap_err().exit, Exit::USAGE);
    }
}
