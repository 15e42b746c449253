//! `soulbox ca`: the certificate authority of the server, and how to trust it.

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal;
use soulbox_gateway::tls::authority;
use std::path::Path;

const EXAMPLES: &str = "\
Examples:
  soulbox ca trust
  export SSL_CERT_FILE=$(soulbox ca path)
  curl --cacert \"$(soulbox ca path)\" https://sandbox.localhost:8443/health";

/// Flags of `soulbox ca`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Print how clients and machines are told to trust it
    #[command(after_help = EXAMPLES)]
    Trust,
    /// Print the file with its certificate
    #[command(after_help = EXAMPLES)]
    Path,
}

/// Prints what was asked for.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let settings = global.settings(Vec::new())?;
    let path = authority::path(&settings.paths.data_dir);
    if !path.is_file() {
        let message = format!("there is no certificate authority in {}", path.display());
        return Err(Failure::new(Exit::NOT_FOUND, message).help(
            "the server makes it at its first start with --tls-listen and without certificates of your own",
        ));
    }
    terminal::print(&match args.verb {
        Verb::Path => path.display().to_string(),
        Verb::Trust => ways(&path),
    })?;
    Ok(Exit::SUCCESS)
}

/// Every way needs the file alone; the key stays with the server.
fn ways(path: &Path) -> String {
    let path = quoted(&path.display().to_string());
    format!(
        "\
# The certificate, which is no secret; copy it to wherever clients run:
#   {path}
# It vouches for the server's own domain only.

# For one shell: Python (requests, httpx, E2B's SDK), curl, Go, Ruby. The file replaces the system's own
# authorities there, unless they are put together into one file.
export SSL_CERT_FILE={path}
export REQUESTS_CA_BUNDLE={path}
export CURL_CA_BUNDLE={path}

# For one shell: Node.js, beside its own authorities.
export NODE_EXTRA_CA_CERTS={path}

# For the whole machine, Debian and Ubuntu, as root:
install -m 644 {path} /usr/local/share/ca-certificates/soulbox.crt && update-ca-certificates

# Fedora, RHEL and their kin, as root:
install -m 644 {path} /etc/pki/ca-trust/source/anchors/soulbox.pem && update-ca-trust

# macOS:
sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {path}"
    )
}

/// A path as one word of a shell.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    match path.chars().all(plain) {
        true => path.to_owned(),
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_single_words() {
        assert_eq!(
            quoted("/var/lib/soulbox/tls/ca.pem"),
            "/var/lib/soulbox/tls/ca.pem"
        );
        assert_eq!(quoted("/a b/c'd"), r"'/a b/c'\''d'");
        assert!(ways(Path::new("/a b")).contains("export SSL_CERT_FILE='/a b'\n"));
    }
}
