//! Socket options that both sides share.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;

/// Connections that the kernel completes and keeps until a worker accepts them; the kernel caps it at `somaxconn`.
const BACKLOG: i32 = 4096;

/// Whether a socket that is accepted has the options of its listener, as on Linux: there the listener is tuned once, and
/// not each connection.
pub const INHERITED: bool = cfg!(target_os = "linux");

/// No waiting for more to send; probes after `keepalive` of silence, if given. For a connection that has no options yet, or
/// a listener.
///
/// # Errors
/// What the kernel says; usually that the connection is gone.
pub fn tune(socket: &impl AsFd, keepalive: Option<Duration>) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    match keepalive {
        Some(idle) => socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle)),
        None => Ok(()),
    }
}

/// As [`tune`], where the socket may have had options before.
///
/// # Errors
/// As [`tune`].
pub fn retune(socket: &impl AsFd, keepalive: Option<Duration>) -> io::Result<()> {
    if keepalive.is_none() {
        SockRef::from(socket).set_keepalive(false)?;
    }
    tune(socket, keepalive)
}

/// Ends the connection when what was sent over it has not been taken for `patience` (`TCP_USER_TIMEOUT`, RFC 5482), be it
/// that the peer is gone or that it does not read.
///
/// # Errors
/// As [`tune`].
pub fn give_up_after(socket: &TcpStream, patience: Duration) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    SockRef::from(socket).set_tcp_user_timeout(Some(patience))?;
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, patience);
    Ok(())
}

/// A listener that shares its port with the other workers' listeners (`SO_REUSEPORT`): the kernel spreads connections
/// over them. Non-blocking.
///
/// # Errors
/// What the kernel says: the address is in use or not this host's.
pub fn listen_shared(address: SocketAddr) -> io::Result<TcpListener> {
    listen(address, true)
}

/// A listener that has its port for itself.
///
/// # Errors
/// As [`listen_shared`].
pub fn listen_alone(address: SocketAddr) -> io::Result<TcpListener> {
    listen(address, false)
}

fn listen(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
