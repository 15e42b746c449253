//! `soulbox port-forward`: a port of a sandbox of a server, on this machine.

use crate::cli::Global;
use crate::cli::server::ServerFlags;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::remote::{self, Server, find};
use crate::signal::Stop;
use crate::terminal;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Method, StatusCode};
use hyper_util::rt::TokioIo;
use soulbox_client::RemoteError;
use soulbox_client::server::Question;
use soulbox_model::SandboxId;
use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const EXAMPLES: &str = "\
Examples:
  soulbox port-forward i3f9 8080
  soulbox port-forward i3f9 5433:5432
  soulbox port-forward i3f9 0:80

It listens on 127.0.0.1 and passes each connection on as it is, until Ctrl-C. Local port 0 takes a free one.";

/// The most connections at once; more wait for their turn.
const MOST: usize = 256;

/// How long accepting rests after Linux refused to, for want of descriptors.
const REST: Duration = Duration::from_millis(50);

/// Flags of `soulbox port-forward`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The sandbox's id, or how it begins
    #[arg(value_name = "ID")]
    id: String,
    /// The port in the sandbox, and the one here if it is another
    #[arg(value_name = "[LOCAL:]PORT", value_parser = ports)]
    ports: (u16, NonZeroU16),
    /// Which server.
    #[command(flatten)]
    server: ServerFlags,
}

/// Reads `PORT` or `LOCAL:PORT`.
fn ports(text: &str) -> Result<(u16, NonZeroU16), String> {
    let (local, remote) = text.split_once(':').unwrap_or((text, text));
    let wrong = |_| "it is written PORT or LOCAL:PORT, each 1 to 65535, LOCAL perhaps 0".to_owned();
    let remote: NonZeroU16 = remote.parse().map_err(wrong)?;
    Ok((local.parse().map_err(wrong)?, remote))
}

/// Passes connections on until it is told to stop, or the sandbox is gone.
pub(crate) fn run(global: &Global, args: &Args) -> Result<Exit, Failure> {
    let (_, server) = args.server.open(global)?;
    let (local, port) = args.ports;
    remote::block_on(async {
        let stop = Stop::listen()?;
        let id = find::sandbox(&server, &args.id).await?.sandbox_id;
        let told = |error: &std::io::Error| {
            Failure::new(Exit::HOST, format!("cannot listen on 127.0.0.1:{local}"))
                .because(error)
                .help("choose another local port: LOCAL:PORT; 0 takes a free one")
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, local)).await;
        let listener = listener.map_err(|error| told(&error))?;
        let address = listener.local_addr().map_err(|error| told(&error))?;
        terminal::print(&format!("{address} leads to port {port} of {id}"))?;
        let forward = Forward { server, id, port };
        forward.serve(&listener, &stop).await
    })
}

/// A port of a sandbox.
#[derive(Clone)]
struct Forward {
    server: Server,
    id: SandboxId,
    port: NonZeroU16,
}

impl Forward {
    async fn serve(&self, listener: &TcpListener, stop: &Stop) -> Result<Exit, Failure> {
        let places = Arc::new(Semaphore::new(MOST));
        let mut connections = JoinSet::new();
        loop {
            let accept = async {
                // The semaphore is never closed.
                let place = Arc::clone(&places).acquire_owned().await;
                (listener.accept().await, place)
            };
            tokio::select! {
                () = stop.wait() => return Ok(Exit::SUCCESS),
                (accepted, place) = accept => match accepted {
                    Ok((stream, _)) => {
                        let forward = self.clone();
                        connections.spawn(async move {
                            let done = forward.pass(stream).await;
                            drop(place);
                            done
                        });
                    }
                    Err(error) => {
                        terminal::warn(&format!("note: a connection was not accepted: {error}"));
                        tokio::time::sleep(REST).await;
                    }
                },
                Some(done) = connections.join_next(), if !connections.is_empty() => {
                    // A connection that panicked is over as well.
                    if let Ok(Err(error)) = done {
                        self.tell(error)?;
                    }
                }
            }
        }
    }

    /// Passes one connection on to its end.
    async fn pass(&self, mut stream: TcpStream) -> Result<(), RemoteError> {
        let path = format!("/v1/sandboxes/{}/tcp/{}", self.id, self.port);
        let question = Question {
            headers: vec![
                (CONNECTION, HeaderValue::from_static("upgrade")),
                (UPGRADE, HeaderValue::from_static("tcp")),
            ],
            ..Question::bare(Method::GET, &path)
        };
        let response = self.server.open(question).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(RemoteError::refused(response.status(), b""));
        }
        let theirs = hyper::upgrade::on(response).await;
        let theirs = theirs.map_err(|error| self.server.unreadable(error))?;
        // How a connection ends is the affair of those who talk.
        let _ = stream.set_nodelay(true);
        let _ = copy_bidirectional(&mut stream, &mut TokioIo::new(theirs)).await;
        Ok(())
    }

    /// Tells why a connection was not passed on; a sandbox or a server that is gone ends everything.
    fn tell(&self, error: RemoteError) -> Result<(), Failure> {
        match error {
            RemoteError::Refused { status, message } if status != StatusCode::NOT_FOUND => {
                terminal::warn(&crate::failure::safe(&format!("note: {message}")));
                Ok(())
            }
            error => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_one_or_two() {
        let port = |number| NonZeroU16::new(number).unwrap();
        assert_eq!(ports("80").unwrap(), (80, port(80)));
        assert_eq!(ports("0:80").unwrap(), (0, port(80)));
        for bad in ["", "0", "80:0", "a", "1:2:3", "70000", "-1", ":80"] {
            assert!(ports(bad).is_err(), "{bad}");
        }
    }
}
