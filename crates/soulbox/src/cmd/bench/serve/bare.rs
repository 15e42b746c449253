//! A server that does nothing: the least that an answer over the loopback costs.

use super::failed;
use crate::failure::Failure;
use crate::signal::Stop;
use crate::terminal;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use tokio::net::TcpListener;

/// What it answers: as long as an answer about a new sandbox.
const ANSWER: Bytes = Bytes::from_static(&[b' '; 320]);

/// Serves until it is ended.
pub(super) async fn work() -> Result<(), Failure> {
    let stop = Stop::listen()?;
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.map_err(|error| failed("cannot listen").because(&error))?;
    let address = listener.local_addr();
    let address = address.map_err(|error| failed("cannot listen").because(&error))?;
    terminal::print(&address.to_string())?;
    let accept = async {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move {
                let served = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(answer))
                    .await;
                drop(served);
            });
        }
    };
    tokio::select! {
        () = accept => {}
        () = stop.wait() => {}
    }
    Ok(())
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let _ = request.into_body().collect().await;
    let mut response = Response::new(Full::new(ANSWER));
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}
