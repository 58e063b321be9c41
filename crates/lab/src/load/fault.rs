//! What goes wrong with one connection, and with a whole run.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::Serialize;

use super::target::Target;

/// Why one connection, or one unit of work on it, failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// No TCP connection; usually nothing listens there.
    #[error("cannot connect to {address}")]
    Dial {
        /// The address that was tried.
        address: SocketAddr,
        /// What the kernel says.
        source: io::Error,
    },
    /// The local address is none of this machine's; the user's fault.
    #[error("cannot connect from {address}")]
    Source {
        /// From where.
        address: IpAddr,
        /// What the kernel says.
        source: io::Error,
    },
    /// The kernel has no local port or file descriptor left; the generator's fault.
    #[error("out of local ports or file descriptors")]
    Exhausted(#[source] io::Error),
    /// The TLS handshake failed; usually the certificate is not trusted.
    #[error("TLS handshake failed")]
    Handshake(#[source] io::Error),
    /// The answer is not what was asked for; usually the target has no such path, or no origin.
    #[error("{asked} was answered with {status}{}{says}", if says.is_empty() { "" } else { ": " })]
    Answer {
        /// `the upgrade`, `the download`, `the upload`.
        asked: &'static str,
        /// The response's status.
        status: u16,
        /// The beginning of its body, if it came at once.
        says: String,
    },
    /// Reading failed; usually the target closed the connection roughly.
    #[error("cannot read")]
    Read(#[source] io::Error),
    /// Writing failed; usually the target closed the connection roughly.
    #[error("cannot write")]
    Write(#[source] io::Error),
    /// HTTP or WebSocket was violated; the target's fault.
    #[error("protocol violated: {0}")]
    Protocol(&'static str),
    /// A byte is not the one that was sent; the target's fault, and the worst one.
    #[error("wrong bytes: {0}")]
    WrongBytes(String),
    /// The target sent a Close that was not asked for.
    #[error("closed by the target with {code} {reason:?}")]
    Closed {
        /// The Close code; 1005 if there was none.
        code: u16,
        /// The text beside it.
        reason: String,
    },
    /// The connection ended without a word.
    #[error("the connection ended unexpectedly")]
    Ended,
    /// Nothing happened for too long.
    #[error("{0} took too long")]
    Timeout(&'static str),
}

/// [`Fault`] without its data, to count by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the fault of its name")]
pub enum FaultKind {
    Dial,
    Source,
    Exhausted,
    Handshake,
    Answer,
    Read,
    Write,
    Protocol,
    WrongBytes,
    Closed,
    Ended,
    Timeout,
}

impl Fault {
    /// What to count it as.
    #[must_use]
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::Dial { .. } => FaultKind::Dial,
            Self::Source { .. } => FaultKind::Source,
            Self::Exhausted(_) => FaultKind::Exhausted,
            Self::Handshake(_) => FaultKind::Handshake,
            Self::Answer { .. } => FaultKind::Answer,
            Self::Read(_) => FaultKind::Read,
            Self::Write(_) => FaultKind::Write,
            Self::Protocol(_) => FaultKind::Protocol,
            Self::WrongBytes(_) => FaultKind::WrongBytes,
            Self::Closed { .. } => FaultKind::Closed,
            Self::Ended => FaultKind::Ended,
            Self::Timeout(_) => FaultKind::Timeout,
        }
    }

    /// A connect that failed: the target's absence, or our own exhaustion.
    pub(super) fn dial(address: SocketAddr, source: io::Error) -> Self {
        if is_exhaustion(&source) {
            Self::Exhausted(source)
        } else {
            Self::Dial { address, source }
        }
    }

    /// A bind that failed.
    pub(super) fn bind(address: IpAddr, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::AddrNotAvailable {
            Self::Source { address, source }
        } else {
            Self::Exhausted(source)
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Dial { .. } => "start the target there (`headpin serve`), or check host and port",
            Self::Source { .. } => "give --source addresses of this machine, such as 127.0.0.2-127.0.0.9",
            Self::Exhausted(_) => "use several local addresses (--source 127.0.0.2-127.0.0.9) or fewer connections",
            Self::Handshake(_) => "name the certificate's issuer with --ca FILE, or trust anything with --insecure",
            Self::Answer { .. } => "check the target's path, and that the origin behind it runs (`headpin upstream`)",
            Self::Read(_) | Self::Write(_) | Self::Ended | Self::Closed { .. } => "see the target's log",
            Self::Protocol(_) | Self::WrongBytes(_) => "this is a fault of the target or of what is behind it",
            Self::Timeout(_) => "see whether the target is overloaded, or allow more with --timeout",
        }
    }
}

/// No local port is left, or no file descriptor. The standard library has no kind for the latter.
fn is_exhaustion(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    error.kind() == io::ErrorKind::AddrNotAvailable || matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

/// Why a run did not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The first connection failed; [`Fault::remedy`] says what to do.
    #[error("the target {target} cannot be used; {}", fault.remedy())]
    Target {
        /// What was tried.
        target: Target,
        /// How it failed.
        #[source]
        fault: Fault,
    },
    /// The host's name is not known.
    #[error("cannot find the host {host:?}; check its name")]
    Host {
        /// The name.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// The hard limit of open files is too low.
    #[error(
        "{needed} open files are needed and {limit} are allowed (`ulimit -n`, already raised to the hard limit); raise \
         the hard limit (`ulimit -Hn`, LimitNOFILE=), or use at most {most} connections a process"
    )]
    FileDescriptors {
        /// What the run needs.
        needed: u64,
        /// What it may have.
        limit: u64,
        /// How many connections that allows.
        most: u64,
    },
    /// The CA file holds no certificate that can be used.
    #[error("cannot use the CA file {}; it must hold PEM certificates", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// TLS cannot be set up; a name that no certificate can have, or no certificates on this system.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The process to watch is not there.
    #[error("no process {pid} to watch; check --pid")]
    Process {
        /// What was asked for.
        pid: u32,
        /// What the kernel says.
        source: io::Error,
    },
    /// It was stopped before the first connection was open.
    #[error("stopped before anything was measured")]
    Stopped,
    /// Threads cannot be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}
