//! The service `process.Process`.
//!
//! ```text
//! Start ─▶ spawn ─▶ table ◀─ reap (PID 1's one place that waits)
//!                     │
//!                   pump: pipes ─▶ frames ─▶ subscriptions ─▶ streams of Start and Connect
//! ```

pub(crate) mod connect;
pub(crate) mod end;
pub(crate) mod enter;
pub(crate) mod input;
pub(crate) mod list;
pub(crate) mod oom_score;
pub(crate) mod output;
pub(crate) mod pump;
pub(crate) mod reap;
pub(crate) mod record;
pub(crate) mod signal;
pub(crate) mod spawn;
pub(crate) mod start;
pub(crate) mod subscription;
pub(crate) mod table;
pub(crate) mod update;

use crate::limits;
use crate::reply::Reply;
use crate::rpc;
use crate::state::Agent;
use hyper::Request;
use hyper::body::Incoming;
use std::rc::Rc;

/// Serves the method called `method`.
pub(crate) async fn serve(agent: &Rc<Agent>, method: &str, request: Request<Incoming>) -> Reply {
    let message = limits::MESSAGE;
    match method {
        "List" => {
            rpc::unary(request, message, async |_, query| {
                Ok(list::list(agent, query))
            })
            .await
        }
        "Start" => {
            rpc::server_stream(request, async |call, query| {
                start::start(agent, &call, query).await
            })
            .await
        }
        "Connect" => {
            rpc::server_stream(request, async |call, query| {
                connect::connect(agent, &call, &query)
            })
            .await
        }
        "Update" => {
            rpc::unary(request, message, async |_, query| {
                update::update(agent, &query)
            })
            .await
        }
        "SendInput" => {
            let act = async |_, query| input::send(agent, query).await;
            rpc::unary(request, limits::INPUT_MESSAGE, act).await
        }
        "StreamInput" => {
            rpc::client_stream(request, async |call, body| {
                input::stream(agent, call, body).await
            })
            .await
        }
        "SendSignal" => {
            rpc::unary(request, message, async |_, query| {
                signal::send(agent, &query)
            })
            .await
        }
        "CloseStdin" => {
            rpc::unary(request, message, async |_, query| {
                input::close(agent, &query)
            })
            .await
        }
        _ => rpc::unknown_method(&request),
    }
}
