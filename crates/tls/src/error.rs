//! Why a TLS handshake failed.

use std::io;

/// Why a TLS handshake failed. Usually the client's fault.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The first bytes are an HTTP request without TLS.
    #[error("the client spoke plain HTTP on the TLS port")]
    PlainHttp,
    /// The client closed the connection.
    #[error("the client closed the connection during the handshake")]
    Closed,
    /// The connection broke.
    #[error("the connection broke during the handshake")]
    Io(#[source] io::Error),
    /// TLS said no; the client got the alert that belongs to it.
    #[error("the handshake failed")]
    Tls(#[source] rustls::Error),
    /// The deadline passed.
    #[error("the handshake was not done within its deadline")]
    Timeout,
}
