//! A registry that serves one image from files: as little as a pull asks for, on a thread for each
//! connection, so that it is never what is waited for.

use super::super::proxy::first_line;
use super::failed;
use crate::failure::Failure;
use crate::terminal;
use soulbox_image::oci::manifest::OCI_MANIFEST;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, Command};

/// A registry in a process of its own.
pub(super) struct Served {
    _child: Child,
    address: String,
}

impl Served {
    /// Serves the files of a directory.
    #[allow(
        clippy::disallowed_types,
        clippy::disallowed_methods,
        reason = "the registry is a process of its own"
    )]
    pub(super) async fn start(directory: &Path) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| failed("find itself", &error))?;
        let mut child = Command::new(program)
            .args(["bench", "image", "--serve"])
            .arg(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed("start a registry", &error))?;
        let address = first_line(&mut child, "").await?;
        Ok(Self {
            _child: child,
            address,
        })
    }

    /// The name of the image whose layers are packed so.
    pub(super) fn image(&self, packing: &str) -> String {
        format!("{}/bench:{packing}", self.address)
    }
}

/// Is the registry until it is killed.
pub(super) fn be(directory: &Path) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    terminal::print(&address).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
    for stream in listener.incoming() {
        let (stream, directory) = (stream?, directory.to_owned());
        std::thread::spawn(move || answer(stream, &directory));
    }
    Ok(())
}

/// Answers one request with the file that the last part of its path names.
fn answer(stream: TcpStream, directory: &Path) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut stream = reader.into_inner();
    let name = path.rsplit('/').next().unwrap_or_default();
    let file = match name.is_empty() || name.starts_with('.') {
        true => Err(io::ErrorKind::NotFound.into()),
        false => File::open(directory.join(name)),
    };
    let Ok(mut file) = file else {
        return stream.write_all(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
    };
    let kind = match path.contains("/manifests/") {
        true => OCI_MANIFEST,
        false => "application/octet-stream",
    };
    let len = file.metadata()?.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\n\
         Connection: close\r\n\r\n"
    )?;
    io::copy(&mut file, &mut stream)?;
    Ok(())
}
