//! Opens connections to the target.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};

use super::fault::{Fault, LoadError};
use super::message::{MaskKeys, Message};
use super::plan::{Plan, Resume, Work};
use super::stream::Stream;
use super::target::Sources;
use super::tls;
use super::tunnel::{Late, Tunnel};

/// How the target is reached.
#[derive(Debug)]
pub(super) struct Client {
    address: SocketAddr,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    sources: Sources,
    receive_buffer: Option<u32>,
    path: String,
    /// The header fields of every request.
    fields: String,
    /// Messages go in TLS records of their own.
    own_records: bool,
    pub(super) timeout: Duration,
}

impl Client {
    /// Finds the target and tries it with one connection.
    ///
    /// # Errors
    /// Whatever keeps every connection from being made, with the remedy.
    pub(super) async fn try_out(plan: &Plan) -> Result<(Self, Option<String>), LoadError> {
        let target = &plan.target;
        let resume = if let Work::Churn { resume, .. } = plan.work {
            resume
        } else {
            Resume::Never
        };
        let tls = if target.is_tls() {
            Some((
                tls::client_config(&plan.trust, resume)?,
                tls::server_name(target.host())?,
            ))
        } else {
            None
        };
        let unknown = |source| LoadError::Host {
            host: target.host().to_owned(),
            source,
        };
        let addresses = target.resolve().await.map_err(unknown)?;
        let mut fields = format!("Host: {}\r\nUser-Agent: headpin-load\r\n", target.authority());
        plan.headers
            .iter()
            .for_each(|(name, value)| fields += &format!("{name}: {value}\r\n"));
        let mut client = Self {
            address: *addresses
                .first()
                .ok_or_else(|| unknown(io::ErrorKind::NotFound.into()))?,
            tls,
            sources: plan.sources.clone(),
            receive_buffer: if let Work::Slow { receive_buffer, .. } = plan.work {
                Some(receive_buffer)
            } else {
                None
            },
            path: target.path_or(&plan.work.usual_path()),
            fields,
            own_records: matches!(plan.work, Work::Echo { own_records: true, .. }),
            timeout: plan.timeout,
        };
        let mut first_fault = None;
        for address in addresses {
            client.address = address;
            let tried = tokio::time::timeout(plan.timeout, client.try_once(&plan.work)).await;
            match tried.unwrap_or(Err(Fault::Timeout("the first connection"))) {
                Ok(parameters) => return Ok((client, parameters)),
                Err(fault @ Fault::Dial { .. }) => _ = first_fault.get_or_insert(fault),
                Err(fault) => {
                    return Err(LoadError::Target {
                        target: target.clone(),
                        fault,
                    });
                }
            }
        }
        let fault = first_fault.unwrap_or(Fault::Ended);
        Err(LoadError::Target {
            target: target.clone(),
            fault,
        })
    }

    /// Connects and, where the work is done in tunnels, upgrades. Gives the parameters of TLS.
    async fn try_once(&self, work: &Work) -> Result<Option<String>, Fault> {
        if work.over_http() {
            return Ok(self.connect(0).await?.tls_parameters());
        }
        let tunnel = self.tunnel(0, None).await?;
        let parameters = tunnel.stream().tls_parameters();
        _ = tunnel.close(Late::Ignored).await;
        Ok(parameters)
    }

    /// Connects, and shakes hands if TLS is spoken.
    pub(super) async fn connect(&self, index: u64) -> Result<Stream, Fault> {
        let tcp = self.dial(index).await?;
        match &self.tls {
            None => Ok(Stream::plain(tcp)),
            Some((config, name)) => Stream::secured(tcp, Arc::clone(config), name.clone()).await,
        }
    }

    /// Connects and upgrades, with `head` in the same write as the request.
    pub(super) async fn tunnel(&self, index: u64, head: Option<Message>) -> Result<Box<Tunnel>, Fault> {
        let stream = self.connect(index).await?;
        let mut tunnel = Tunnel::upgrade(stream, &self.request("GET", index), head, MaskKeys::new(index)).await?;
        tunnel.set_own_records(self.own_records);
        Ok(tunnel)
    }

    /// The beginning of connection `index`'s request; further fields and the empty line are to follow.
    pub(super) fn request(&self, method: &str, index: u64) -> String {
        let path = self.path.replace("{n}", &index.to_string());
        format!("{method} {path} HTTP/1.1\r\n{}", self.fields)
    }

    async fn dial(&self, index: u64) -> Result<TcpStream, Fault> {
        let refused = |error| Fault::dial(self.address, error);
        let socket = if self.address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        };
        let socket = socket.map_err(refused)?;
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes).map_err(refused)?;
        }
        if let Some(source) = self.sources.of(index) {
            socket
                .bind(SocketAddr::new(source, 0))
                .map_err(|error| Fault::bind(source, error))?;
        }
        let stream = socket.connect(self.address).await.map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        Ok(stream)
    }
}
