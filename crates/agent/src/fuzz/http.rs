//! A client that writes anything on a connection.

use crate::files::body::UploadBody;
use crate::files::multipart::{Event, Multipart};
use crate::limits;
use crate::reply::{Reply, status};
use crate::request::{BodyError, parse_query, read_whole};
use crate::rpc::{self, Call};
use crate::server::protocol;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use soulbox_wire::envd::process::StartRequest;
use std::convert::Infallible;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

/// Far beyond what any connection takes whose client has hung up.
const TIME: Duration = Duration::from_secs(5);

/// The longest message.
const LIMIT: usize = 2048;

thread_local! {
    static RUNTIME: Option<Runtime> = Builder::new_current_thread().enable_all().build().ok();
}

/// What a client writes on a connection before it hangs up, in pieces of the length that the first
/// byte says. The requests in it are read as the agent reads them, and nothing is done.
pub fn connection(data: &[u8]) {
    let Some((piece, bytes)) = data.split_first() else {
        return;
    };
    let piece = usize::from(*piece).max(1);
    RUNTIME.with(|runtime| {
        let Some(runtime) = runtime else {
            return;
        };
        let local = LocalSet::new();
        // Within the runtime: the clock is its.
        let talk = async { tokio::time::timeout(TIME, talk(bytes, piece)).await };
        let done = runtime.block_on(local.run_until(talk));
        assert!(
            done.is_ok(),
            "a connection hangs though its client has hung up"
        );
    });
}

async fn talk(bytes: &[u8], piece: usize) {
    let Ok((server, client)) = UnixStream::pair() else {
        return;
    };
    let service = service_fn(|request| async { Ok::<_, Infallible>(read(request).await) });
    let serve = protocol().serve_connection(TokioIo::new(server), service);
    let (mut answers, mut requests) = client.into_split();
    let write = async move {
        for piece in bytes.chunks(piece) {
            if requests.write_all(piece).await.is_err() {
                return;
            }
        }
    };
    let read = async {
        let mut answer = [0; 4096];
        while answers
            .read(&mut answer)
            .await
            .is_ok_and(|length| length > 0)
        {}
    };
    let _ = tokio::join!(serve, write, read);
}

async fn read(request: Request<Incoming>) -> Reply {
    let _ = parse_query(request.uri().query().unwrap_or_default());
    let (head, mut body) = request.into_parts();
    let _ = Call::read(&head.headers);
    if head.method == Method::PUT {
        let _ = form(&head.headers, UploadBody::gzip(&mut body)).await;
    } else if let Ok(bytes) = read_whole(body, LIMIT).await {
        assert!(bytes.len() <= LIMIT, "more than the limit came through");
        let _ = rpc::parse::<StartRequest>(&bytes);
    }
    status(StatusCode::OK)
}

/// A compressed form.
async fn form(headers: &HeaderMap, mut body: UploadBody<'_>) -> Result<(), BodyError> {
    let mut form = Multipart::new(headers).ok();
    while let Some(piece) = body.next().await? {
        // A byte of deflate becomes 1032 at the most; some stay behind in the decoder.
        assert!(piece.len() <= 1032 * limits::INFLATED_AT_ONCE + 64 * 1024);
        let Some(form) = &mut form else {
            continue;
        };
        form.push(&piece);
        while !matches!(form.next(), Ok(Event::Starved | Event::End) | Err(_)) {}
    }
    Ok(())
}
