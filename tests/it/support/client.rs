//! A WebSocket client that decides itself which bytes go into which TLS record.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::soon;

/// The example key of RFC 6455 section 1.3, and what it must be answered with.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub struct Client {
    stream: TlsStream<TcpStream>,
    /// Read, but not asked for yet.
    unread: Vec<u8>,
}

impl Client {
    pub async fn connect(address: SocketAddr, roots: RootCertStore) -> Self {
        Self::connect_with(address, roots, rustls::DEFAULT_VERSIONS, |_| {}).await
    }

    /// The same, which speaks TLS 1.2 only.
    pub async fn connect_12(address: SocketAddr, roots: RootCertStore) -> Self {
        Self::connect_with(address, roots, &[&rustls::version::TLS12], |_| {}).await
    }

    /// The same, with `versions`, and `change` to its settings.
    pub async fn connect_with(
        address: SocketAddr,
        roots: RootCertStore,
        versions: &[&'static rustls::SupportedProtocolVersion],
        change: impl FnOnce(&mut ClientConfig),
    ) -> Self {
        let mut config = client_config(roots, versions);
        change(&mut config);
        Self::connect_by(address, Arc::new(config)).await
    }

    /// The same, with settings that connections share: only those resume one another's sessions.
    pub async fn connect_by(address: SocketAddr, config: Arc<ClientConfig>) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connecting = TlsConnector::from(config).connect(name, socket);
        Self {
            stream: connecting.await.unwrap(),
            unread: Vec::new(),
        }
    }

    /// The ciphertext of `bytes`, which is not sent.
    pub fn seal(&mut self, bytes: &[u8]) -> Vec<u8> {
        let (_, tls) = self.stream.get_mut();
        std::io::Write::write_all(&mut tls.writer(), bytes).unwrap();
        let mut sealed = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut sealed).unwrap();
        }
        sealed
    }

    /// Sends ciphertext.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.get_mut().0.write_all(bytes).await.unwrap();
    }

    /// One TLS write (one record, up to 16 KiB).
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends the upgrade request and `head` in one write, and takes the 101.
    pub async fn upgrade(&mut self, path: &str, head: &[u8]) {
        self.send(&[upgrade_request(path).as_bytes(), head].concat()).await;
        self.switched().await;
    }

    /// Takes the 101.
    pub async fn switched(&mut self) {
        let response = self.response_head().await;
        assert!(response.starts_with("HTTP/1.1 101"), "{response}");
        assert!(response.contains(ACCEPT), "{response}");
    }

    /// A response head, to the empty line.
    pub async fn response_head(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.unread.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            assert!(
                self.fill().await > 0,
                "the stream ended in a response head: {:?}",
                self.unread
            );
        }
    }

    /// Exactly `len` bytes.
    pub async fn receive(&mut self, len: usize) -> Vec<u8> {
        while self.unread.len() < len {
            assert!(
                self.fill().await > 0,
                "the stream ended with {} of {len} bytes",
                self.unread.len()
            );
        }
        self.unread.drain(..len).collect()
    }

    /// The payload of the next frame, which must not be masked.
    pub async fn frame(&mut self) -> (u8, Vec<u8>) {
        let header = self.receive(2).await;
        let len = match header[1] {
            126 => u16::from_be_bytes(self.receive(2).await.try_into().unwrap()) as usize,
            127 => u64::from_be_bytes(self.receive(8).await.try_into().unwrap()) as usize,
            len => len as usize,
        };
        (header[0], self.receive(len).await)
    }

    /// Sends a message and takes its echo.
    pub async fn echo(&mut self, payload: &[u8]) {
        self.send(&frame(0x82, payload)).await;
        assert_eq!(self.frame().await, (0x82, payload.to_vec()));
    }

    /// Everything up to the end of the stream.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await > 0 {}
        std::mem::take(&mut self.unread)
    }

    /// Whether the proxy has hung up; without waiting for that.
    pub async fn is_ended(&mut self) -> bool {
        let mut byte = [0];
        let read = self.stream.get_ref().0.peek(&mut byte);
        matches!(futures_util::FutureExt::now_or_never(read), Some(Ok(0) | Err(_)))
    }

    pub async fn shutdown(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    async fn fill(&mut self) -> usize {
        let mut bytes = [0; 16 * 1024];
        // A proxy that goes away without close_notify is an end as well, for those tests that look for it.
        let read = soon("bytes from the proxy", self.stream.read(&mut bytes))
            .await
            .unwrap_or(0);
        self.unread.extend(&bytes[..read]);
        read
    }
}

pub fn client_config(roots: RootCertStore, versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

pub fn upgrade_request(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// A masked frame with a mask of zero, so that its payload is readable.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    encode(first, 0x80, &[0; 4], payload)
}

/// A frame as a server sends it.
pub fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    encode(first, 0, &[], payload)
}

fn encode(first: u8, masked: u8, mask: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..126 => bytes.push(masked | len as u8),
        len @ 126..65_536 => {
            bytes.push(masked | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(masked | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload);
    bytes
}

/// A plain HTTP exchange on a connection of its own.
pub async fn plain(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let answer = exchange(address, method, path, &format!("Host: {address}"), body).await;
    (answer.status, answer.body)
}

pub struct Answer {
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    pub body: String,
}

/// Whether the response has all the bytes that its `Content-Length` promises.
fn is_complete(response: &[u8]) -> bool {
    let Some(end) = response.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&response[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    length.is_some_and(|length| response.len() >= end + 4 + length.trim().parse::<usize>().unwrap())
}

/// The same with headers of the caller's choice, `Host` among them.
pub async fn exchange(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\n{headers}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    // Not every server closes as it is asked to, and a reset after the answer takes nothing from it.
    while !is_complete(&response) && stream.read_buf(&mut response).await.unwrap_or(0) > 0 {}
    let response = String::from_utf8(response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").expect("a response");
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
