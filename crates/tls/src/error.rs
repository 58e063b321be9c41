//! Why a TLS handshake failed.

use std::io;

/// Why a TLS handshake failed. Usually the other side's fault.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The first bytes are a message of HTTP without TLS.
    #[error("the other side spoke plain HTTP where TLS is spoken")]
    PlainHttp,
    /// The other side closed the connection.
    #[error("the other side closed the connection during the handshake")]
    Closed,
    /// The connection broke.
    #[error("the connection broke during the handshake")]
    Io(#[source] io::Error),
    /// TLS said no; the other side got the alert that belongs to it.
    #[error("the handshake failed")]
    Tls(#[source] rustls::Error),
    /// The deadline passed.
    #[error("the handshake was not done within its deadline")]
    Timeout,
}
