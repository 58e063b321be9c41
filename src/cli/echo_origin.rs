//! The origin of the embedded default where there is no laboratory: it greets and it echoes.

use std::io::Write as _;
use std::net::Ipv4Addr;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::{any, get};
use clap::Args;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::task::TaskTracker;

use super::lifeline;

/// What the command is called.
pub(super) const SUBCOMMAND: &str = "echo-origin";

const GREETING: &str = "The origin behind headpin's embedded default.\n\n  GET /      this text\n  GET /echo  a WebSocket that sends back \
                        what it gets\n\n`headpin upstream`, of headpin-lab, has more.\n";

/// Runs the origin of the embedded default on a free port of loopback, until standard input closes
#[derive(Debug, Args)]
pub(super) struct EchoOriginCommand {
    /// As every child of this program has it
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

impl EchoOriginCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        if self.until_stdin_closes {
            lifeline::end_with_standard_input()?;
        }
        // Each connection is a file.
        _ = rlimit::increase_nofile_limit(u64::MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
            let tunnels = TaskTracker::new();
            let routes = Router::new()
                .route("/", get(GREETING))
                .route("/echo", any(async move |request| upgrade(request, &tunnels)));
            Ok(axum::serve(listener, routes).await?)
        })
    }
}

/// The answer to a request for a WebSocket, which goes on in a task.
fn upgrade(mut request: Request<Body>, tunnels: &TaskTracker) -> Response<Body> {
    match create_response_with_body(&request, Body::empty) {
        Ok(response) => {
            let upgrading = hyper::upgrade::on(&mut request);
            tunnels.spawn(async {
                let Ok(upgraded) = upgrading.await else { return };
                let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
                // Whoever breaks off knows that.
                _ = echo(socket).await;
            });
            response
        }
        Err(error) => {
            let mut response = Response::new(Body::from(format!("GET /echo asks for a WebSocket: {error}\n")));
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        }
    }
}

async fn echo(mut socket: WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>) -> Result<(), Error> {
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}
