//! A proxy that cuts a connection after so many bytes in one direction.

use std::io::{self, Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

/// Where a connection is cut.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// After so many bytes of the request; at once, before any byte of the answer.
    Request(usize),
    /// After so many bytes of the answer.
    Answer(usize),
}

/// Carries one connection to `server`, cut there. Says how many bytes of the answer there were.
pub(crate) fn carry(server: &str, cut: Cut, act: impl FnOnce(&str)) -> io::Result<usize> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    thread::scope(|scope| {
        let proxy = scope.spawn(|| {
            let (client, _) = listener.accept()?;
            pass(&client, &TcpStream::connect(server)?, cut)
        });
        act(&address);
        proxy
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the proxy panicked")))
    })
}

fn pass(client: &TcpStream, server: &TcpStream, cut: Cut) -> io::Result<usize> {
    let (up, down) = match cut {
        Cut::Request(bytes) => (bytes, 0),
        Cut::Answer(bytes) => (usize::MAX, bytes),
    };
    thread::scope(|scope| {
        let upwards = scope.spawn(move || copy(client, server, up));
        let mut carried = 0;
        if matches!(cut, Cut::Answer(_)) {
            carried = copy(server, client, down)?;
        } else {
            // All of the request's part has arrived before the connection is cut.
            let _ = upwards.join();
        }
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
        Ok(carried)
    })
}

/// Carries at most so many bytes, or until the end.
fn copy(mut from: &TcpStream, mut to: &TcpStream, most: usize) -> io::Result<usize> {
    let mut carried = 0;
    let mut piece = [0; 4096];
    while carried < most {
        let room = piece.len().min(most - carried);
        let length = match from.read(&mut piece[..room]) {
            Ok(0) | Err(_) => break,
            Ok(length) => length,
        };
        to.write_all(&piece[..length])?;
        carried += length;
    }
    Ok(carried)
}
