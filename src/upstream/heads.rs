//! How the heads of messages are read from and written to upstream servers.

use hyper::client::conn::http1;

use crate::config::{HEADERS, HeaderCase, HttpConfig};

/// The bounds and the form of message heads.
#[derive(Debug, Clone, Copy)]
pub struct HeadForm {
    max_headers: usize,
    as_sent: bool,
}

impl HeadForm {
    /// As `config` has it.
    #[must_use]
    pub fn new(config: &HttpConfig) -> Self {
        Self {
            max_headers: config.max_headers,
            as_sent: config.header_case == HeaderCase::AsSent,
        }
    }

    /// Whether names of fields are kept as they came. They are in a message's extensions then.
    #[must_use]
    pub fn is_as_sent(self) -> bool {
        self.as_sent
    }

    /// For a connection.
    #[must_use]
    pub fn connection(self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder.preserve_header_case(self.as_sent);
        // With another number than its own, hyper takes memory for each head.
        if self.max_headers != HEADERS {
            builder.max_headers(self.max_headers);
        }
        builder
    }
}
