//! A client whose every request the lab times itself. The load generator is for load that is as much as possible; here
//! it is so many bytes a second and an arrival at a moment that the seed says.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use headpin::config::ServerUrl;

/// What an upgrade request offers, and what the 101 must say to it (the example of RFC 6455 section 1.3).
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// No secret goes over these connections, so that any mask will do (section 5.3).
const MASK: [u8; 4] = *b"hpin";
/// The longest response head.
const HEAD_MAX: usize = 16 << 10;

/// Opens connections to one proxy.
#[derive(Clone)]
pub struct Clients {
    /// Host and port; a name is looked up for every connection, as what it stands for may change.
    address: Arc<str>,
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Clients {
    /// Of the proxy at `address`, whose certificate for localhost comes from `ca`.
    pub(super) fn new(address: SocketAddr, ca: &str) -> anyhow::Result<Self> {
        Self::of(address.to_string(), "localhost", ca)
    }

    /// Of a proxy somewhere else, whose certificate comes from `ca`, PEM text.
    ///
    /// # Errors
    /// When there is no certificate in `ca`.
    pub fn to(proxy: &ServerUrl, ca: &str) -> anyhow::Result<Self> {
        Self::of(proxy.authority(), proxy.host(), ca)
    }

    fn of(address: String, name: &str, ca: &str) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            roots.add(certificate?)?;
        }
        ensure!(!roots.is_empty(), "there is no certificate in PEM form to trust");
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self {
            address: address.into(),
            connector: TlsConnector::from(Arc::new(config)),
            name: ServerName::try_from(name.to_owned())?,
        })
    }

    pub(super) async fn connect(&self) -> anyhow::Result<Wire> {
        let socket = TcpStream::connect(&*self.address).await;
        let socket = socket.with_context(|| format!("cannot connect to {}", self.address))?;
        socket.set_nodelay(true)?;
        let stream = self.connector.connect(self.name.clone(), socket).await;
        Ok(Wire {
            stream: stream.context("TLS handshake failed")?,
            unread: Vec::new(),
        })
    }

    /// A tunnel to `path`. A message of `head` bytes goes out in the same write as the upgrade request, and must have
    /// come back before the tunnel counts as open; none if 0.
    pub(super) async fn tunnel(&self, path: &str, head: usize) -> anyhow::Result<Wire> {
        let mut wire = self.connect().await?;
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        )
        .into_bytes();
        let message: Vec<u8> = (0..head).map(|at| at as u8).collect();
        let len = u8::try_from(head)
            .ok()
            .filter(|len| *len <= 125)
            .context("a head of more than 125 bytes")?;
        if head > 0 {
            request.extend([0x82, 0x80 | len]);
            request.extend(MASK);
            request.extend(message.iter().enumerate().map(|(at, byte)| byte ^ MASK[at % 4]));
        }
        wire.send(&request).await?;
        let answer = wire.response_head().await?;
        ensure!(
            answer.starts_with("HTTP/1.1 101") && answer.contains(ACCEPT),
            "the upgrade was answered with {}",
            answer.lines().next().unwrap_or_default()
        );
        if head > 0 {
            let echo = wire.receive(2 + head).await?;
            ensure!(
                echo == [&[0x82, len][..], &message].concat(),
                "the head came back as {echo:?}"
            );
        }
        Ok(wire)
    }
}

/// One TLS connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TlsStream<TcpStream>,
    /// Read and not asked for yet.
    unread: Vec<u8>,
}

impl Wire {
    /// Uploads `body` with a request of its own; the connection is kept.
    pub(super) async fn upload(&mut self, body: &[u8]) -> anyhow::Result<()> {
        let head = format!(
            "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.send(head.as_bytes()).await?;
        self.send(body).await?;
        let answer = self.response_head().await?;
        let length = answer
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())
            .context("an answer without a length")?;
        let says = self.receive(length).await?;
        ensure!(
            answer.starts_with("HTTP/1.1 200") && says == format!("{{\"bytes\": {}}}\n", body.len()).into_bytes(),
            "an upload was answered with {answer}{}",
            String::from_utf8_lossy(&says)
        );
        Ok(())
    }

    /// One message of the other side, not fragmented and shorter than 64 KiB.
    pub(super) async fn message(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut head = self.receive(2).await?;
        let mut len = usize::from(head[1] & 0x7f);
        if len == 126 {
            head = self.receive(2).await?;
            len = usize::from(u16::from_be_bytes([head[0], head[1]]));
        }
        self.receive(len).await
    }

    /// Waits until the other side ends, or says something that nobody asked for.
    pub(super) async fn quiet(&mut self) -> anyhow::Result<()> {
        match self.stream.read(&mut [0; 16]).await.context("cannot read")? {
            0 => bail!("the tunnel ended"),
            _ => bail!("the tunnel said something unasked"),
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes).await.context("cannot write")?;
        self.stream.flush().await.context("cannot write")
    }

    async fn response_head(&mut self) -> anyhow::Result<String> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = self.unread.drain(..end + 4).collect();
                return String::from_utf8(head).context("a response head that is no text");
            }
            ensure!(self.unread.len() < HEAD_MAX, "a response head without end");
            self.fill().await?;
        }
    }

    async fn receive(&mut self, len: usize) -> anyhow::Result<Vec<u8>> {
        while self.unread.len() < len {
            self.fill().await?;
        }
        let received = self.unread.drain(..len).collect();
        if self.unread.is_empty() {
            // Thousands of these are held at once.
            self.unread = Vec::new();
        }
        Ok(received)
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        let mut read = [0; 2048];
        let len = self.stream.read(&mut read).await.context("cannot read")?;
        ensure!(len > 0, "the connection ended");
        self.unread.extend_from_slice(&read[..len]);
        Ok(())
    }
}
