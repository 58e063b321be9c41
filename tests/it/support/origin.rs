//! Origins: the demo upstream, and ones that say what a test tells them to.

use std::net::SocketAddr;

use headpin_lab::upstream::{self, UpstreamOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::client::ACCEPT;

pub struct Origin {
    pub address: SocketAddr,
    _stop: DropGuard,
}

impl Origin {
    /// The demo upstream: echoes, greets, swallows, pours.
    pub async fn demo() -> Self {
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = upstream::serve(listener, UpstreamOptions::default(), stop.clone());
        #[allow(clippy::disallowed_methods, reason = "ends with the test's runtime")]
        tokio::spawn(async move { serving.await.unwrap() });
        Self {
            address,
            _stop: stop.drop_guard(),
        }
    }

    /// Calls `each` with every connection.
    pub async fn scripted<F>(each: impl Fn(Scripted) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stopped = stop.clone();
        #[allow(clippy::disallowed_methods, reason = "ends with the test's runtime")]
        tokio::spawn(stopped.run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::spawn(each(Scripted {
                    stream,
                    unread: Vec::new(),
                }));
            }
        }));
        Self {
            address,
            _stop: stop.drop_guard(),
        }
    }
}

/// The origin's side of a connection.
pub struct Scripted {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

impl Scripted {
    /// Takes a request head.
    pub async fn request(&mut self) -> String {
        let head = self.request_or_end().await;
        head.expect("the proxy hung up in a request head")
    }

    /// The same, or nothing once the proxy has hung up.
    pub async fn request_or_end(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                return Some(String::from_utf8(self.unread.drain(..end + 4).collect()).unwrap());
            }
            let mut bytes = [0; 4096];
            let read = self.stream.read(&mut bytes).await.unwrap();
            if read == 0 {
                return None;
            }
            self.unread.extend(&bytes[..read]);
        }
    }

    /// Takes an upgrade request and answers it, `head` in the same write.
    pub async fn switch(&mut self, head: &[u8]) {
        self.request().await;
        self.send(&[switching().as_bytes(), head].concat()).await;
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Exactly `len` bytes.
    pub async fn receive(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = self.unread.split_off(0);
        if bytes.len() > len {
            self.unread = bytes.split_off(len);
        }
        let have = bytes.len();
        bytes.resize(len, 0);
        self.stream.read_exact(&mut bytes[have..]).await.unwrap();
        bytes
    }

    /// Everything up to the end of the stream.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = self.unread.split_off(0);
        // A reset is an end as well, for those tests that look for it.
        let _ = self.stream.read_to_end(&mut bytes).await;
        bytes
    }
}

/// A 101 for the example key.
pub fn switching() -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    )
}
