//! Where a successor comes to.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{SocketAddr, UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, fs, io, process};

use rustix::process::geteuid;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::channel::Channel;
use super::message::{Answer, Hello, Wants};

/// How long somebody who has come may take to say what for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// In the file system.
    Path(PathBuf),
    /// Only a name (unix(7), abstract): it is gone with the process, and only its child is told.
    Name(String),
}

impl Address {
    /// A name that nobody else has.
    #[must_use]
    pub fn unique() -> Self {
        Self::Name(format!("headpin-{}-{:016x}", process::id(), fastrand::u64(..)))
    }

    /// As an argument or a variable of the environment.
    #[must_use]
    pub fn from_text(text: &OsStr) -> Self {
        match text.to_str().and_then(|text| text.strip_prefix('@')) {
            Some(name) => Self::Name(name.to_owned()),
            None => Self::Path(text.into()),
        }
    }

    fn socket(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Path(path) => SocketAddr::from_pathname(path),
            Self::Name(name) => SocketAddr::from_abstract_name(name.as_bytes()),
        }
    }

    /// Connects to who listens here; `None` if nobody does.
    ///
    /// # Errors
    /// [`DoorError`], when it cannot be told.
    pub fn connect(&self) -> Result<Option<StdStream>, DoorError> {
        let connected = self.socket().and_then(|address| StdStream::connect_addr(&address));
        match connected {
            Ok(stream) => Ok(Some(stream)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Ok(None)
            }
            Err(source) => Err(self.failed(source)),
        }
    }

    fn failed(&self, source: io::Error) -> DoorError {
        DoorError {
            address: self.clone(),
            source,
        }
    }
}

impl fmt::Display for Address {
    /// As [`Self::from_text`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Name(name) => write!(f, "@{name}"),
        }
    }
}

/// The socket cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the hand-over socket {address} cannot be used (set server.handover to another path, in a folder of this user's)"
)]
pub struct DoorError {
    address: Address,
    #[source]
    source: io::Error,
}

/// The socket that a running headpin listens on for its successor.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    address: Address,
    /// Its file, and the number of its inode: under the same name there may be another's by now.
    file: Option<(PathBuf, u64)>,
}

/// A door that nobody finds yet. Whoever listens at its address still does.
#[derive(Debug)]
pub struct HiddenDoor(Door);

/// Somebody who has come.
#[derive(Debug)]
pub struct Caller {
    /// To speak with it.
    pub channel: Channel,
    /// What it has said.
    pub hello: Hello,
    /// Its process.
    pub pid: u32,
}

impl HiddenDoor {
    /// Makes it: after that only a file has to change its name.
    ///
    /// # Errors
    /// [`DoorError`].
    pub fn new(address: Address) -> Result<Self, DoorError> {
        Self::bind(&address).map_err(|source| address.failed(source))
    }

    fn bind(address: &Address) -> io::Result<Self> {
        let (listener, file) = match address {
            Address::Name(_) => (StdListener::bind_addr(&address.socket()?)?, None),
            Address::Path(path) => {
                let beside = beside(path);
                // Of a process that had this one's number.
                let _ = fs::remove_file(&beside);
                let listener = StdListener::bind(&beside)?;
                fs::set_permissions(&beside, fs::Permissions::from_mode(0o600))?;
                let inode = fs::metadata(&beside)?.ino();
                (listener, Some((beside, inode)))
            }
        };
        listener.set_nonblocking(true)?;
        Ok(Self(Door {
            listener: UnixListener::from_std(listener)?,
            address: address.clone(),
            file,
        }))
    }

    /// From now on it is found. A file that is there is replaced: whoever listened there is gone, or has handed over. At no time is
    /// there none.
    ///
    /// # Errors
    /// [`DoorError`].
    pub fn open(mut self) -> Result<Door, DoorError> {
        if let (Address::Path(path), Some(beside)) = (&self.0.address, &mut self.0.file) {
            fs::rename(&beside.0, path).map_err(|source| self.0.address.failed(source))?;
            beside.0.clone_from(path);
        }
        Ok(self.0)
    }
}

impl Door {
    /// Opens one at once.
    ///
    /// # Errors
    /// [`DoorError`].
    pub fn open(address: Address) -> Result<Self, DoorError> {
        HiddenDoor::new(address)?.open()
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Waits for somebody of the same user who says what it comes for. All others are sent away.
    ///
    /// # Cancel safety
    /// Safe, but whoever has come and said nothing yet is sent away.
    pub async fn caller(&self) -> Caller {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    if let Some(caller) = meet(stream).await {
                        return caller;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, address = %self.address, "nobody can come to the hand-over socket");
                    tokio::time::sleep(PATIENCE).await;
                }
            }
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let Some((file, inode)) = &self.file else { return };
        // It may be gone with its folder, or be the successor's.
        if fs::metadata(file).is_ok_and(|found| found.ino() == *inode) {
            let _ = fs::remove_file(file);
        }
    }
}

/// Who it is, and what it comes for.
async fn meet(stream: UnixStream) -> Option<Caller> {
    let credentials = stream.peer_cred();
    let mut channel = Channel::new(stream);
    let who = match credentials {
        Ok(who) => who,
        Err(error) => {
            tracing::warn!(%error, "who came to the hand-over socket is not known");
            return None;
        }
    };
    let (theirs, ours) = (who.uid(), geteuid().as_raw());
    let hello = match timeout(PATIENCE, channel.receive::<Hello>()).await {
        Ok(Ok(received)) => received.message,
        Ok(Err(error)) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "who came to the hand-over socket said nothing"
            );
            return None;
        }
        Err(_) => {
            tracing::warn!(patience = ?PATIENCE, "who came to the hand-over socket said nothing");
            return None;
        }
    };
    let caller = Caller {
        channel,
        pid: who.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0),
        hello,
    };
    // Root may ask for a successor, which then is of the same user as this process. It is never one itself.
    if theirs == ours || (theirs == 0 && caller.wants() == Wants::Upgrade) {
        return Some(caller);
    }
    let why = format!("the running headpin is of user {ours}, and hands over to no process of user {theirs}");
    tracing::warn!(pid = caller.pid, "a hand-over was refused: {why}");
    caller.refuse(&why).await;
    None
}

impl Caller {
    /// Sends it away.
    ///
    /// # Cancel safety
    /// Dropped, it is sent away without a reason.
    pub async fn refuse(self, why: &str) {
        self.answer(&Answer::Refused(why.to_owned())).await;
    }

    /// Tells it what came of it.
    ///
    /// # Cancel safety
    /// Dropped, it is not told.
    pub async fn answer(mut self, answer: &Answer) {
        let _ = timeout(PATIENCE, self.channel.send(answer, &[])).await;
    }

    /// What it comes for.
    #[must_use]
    pub fn wants(&self) -> Wants {
        self.hello.wants
    }
}

/// A file beside `path` that only this process uses.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().as_bytes().to_vec();
    name.extend_from_slice(format!(".{}", process::id()).as_bytes());
    PathBuf::from(OsStr::from_bytes(&name))
}
