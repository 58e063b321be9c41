//! The demo origin on a free port.

use std::net::SocketAddr;

use headpin_lab::upstream::{self, UpstreamError, UpstreamOptions};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use super::soon;

/// A running origin.
pub(crate) struct DemoOrigin {
    pub(crate) address: SocketAddr,
    shutdown: CancellationToken,
    serving: JoinHandle<Result<(), UpstreamError>>,
}

impl DemoOrigin {
    pub(crate) async fn start() -> Self {
        Self::with(UpstreamOptions::default()).await
    }

    pub(crate) async fn with(options: UpstreamOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "awaited by `shutdown`")]
        let serving = tokio::spawn(upstream::serve(listener, options, shutdown.clone()));
        Self {
            address,
            shutdown,
            serving,
        }
    }

    pub(crate) async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(crate) async fn websocket(&self, path: &str) -> Result<WebSocketStream<TcpStream>, Error> {
        let url = format!("ws://{}{path}", self.address);
        let (socket, _) = soon("the upgrade", tokio_tungstenite::client_async(url, self.tcp().await)).await?;
        Ok(socket)
    }

    /// One request on a connection of its own; status and body.
    pub(crate) async fn request(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = self.tcp().await;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: origin\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        soon("the answer", stream.read_to_end(&mut answer)).await.unwrap();
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a header");
        let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
        (status, answer.split_off(end + 4))
    }

    pub(crate) async fn publish(&self, id: &str, message: &str) -> String {
        let (status, body) = self
            .request("POST", &format!("/publish/{id}"), message.as_bytes())
            .await;
        let body = String::from_utf8(body).unwrap();
        assert_eq!(status, 200, "{body}");
        body.trim().to_owned()
    }

    /// Asks it to end and does not wait.
    pub(crate) fn begin_shutdown(&self) {
        self.shutdown.cancel();
    }

    pub(crate) async fn shutdown(self) {
        self.shutdown.cancel();
        soon("the origin's end", self.serving).await.unwrap().unwrap();
    }
}

/// The text of a message.
pub(crate) fn text(message: Message) -> String {
    message.into_text().unwrap().to_string()
}
