//! HTTP/1.1 on a connection: from the handshake to the last response, or to the tunnel that it becomes.

mod answer;
mod body;
mod connection;
mod error;
mod expect;
mod flow;
mod forward;
mod framing;
mod handshake;
mod head_io;
mod headers;
mod informational;
mod layer;
mod lease;
mod measured;
mod once;
mod origin;
mod service;
mod sticky;
mod target;
mod unread;
mod upgrade;

pub use connection::{resume_connection, spawn_connection};
pub use head_io::{HeadIo, IoState};
pub use origin::Listener;
