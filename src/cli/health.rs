//! `headpin health`: does the proxy want traffic? For probes that can only run a command.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::EXIT_USAGE;
use crate::config::{AdminConfig, ConfigError, Scheme, ServerUrl};

/// How long it may take in all: less than the three seconds after which the image's health check is cut.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most that is read of an answer.
const ANSWER_MAX: usize = 4 << 10;

/// Asks a running proxy whether it is ready
///
/// Exit code 0 if it accepts connections; 1 if it drains or cannot be reached, which is said; 64 if the config does not
/// tell where to ask. Only admin.listen is read of the config: what else may be wrong in it is a matter for
/// `headpin check`, and a running proxy goes on without it.
#[derive(Debug, Args)]
pub(super) struct HealthCommand {
    /// The config file that the proxy runs with; without one, the default address is asked
    #[arg(short, long, value_name = "FILE", env = "HEADPIN_CONFIG")]
    config: Option<PathBuf>,
    /// Where the admin endpoints are, instead of what the config says: http://HOST:PORT
    #[arg(long, value_name = "URL", value_parser = plain_url)]
    admin: Option<ServerUrl>,
}

impl HealthCommand {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let authority = match self.authority() {
            Ok(authority) => authority,
            Err(error) if error.is::<ConfigError>() => return Err(error),
            Err(error) => {
                eprintln!("headpin: {error:#}");
                return Ok(ExitCode::from(EXIT_USAGE));
            }
        };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let answer = runtime.block_on(async { timeout(PATIENCE, ask(&authority)).await });
        let answer =
            answer.with_context(|| format!("not reachable: {authority} does not answer within {PATIENCE:?}"))?;
        let (status, says) = answer.with_context(|| format!("not reachable: {authority}"))?;
        if status != StatusCode::OK {
            bail!(
                "not ready: {authority} answers {}: {}",
                status.as_u16(),
                says.trim_end()
            );
        }
        println!("{}", says.trim_end());
        Ok(ExitCode::SUCCESS)
    }

    /// Whom to ask, as `host:port`.
    fn authority(&self) -> anyhow::Result<String> {
        if let Some(url) = &self.admin {
            return Ok(url.authority());
        }
        let admin = match &self.config {
            None => AdminConfig::default(),
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
                    path: path.clone(),
                    source,
                })?;
                AdminConfig::parse(&text, path)?
            }
        };
        if admin.listen.port() == 0 {
            bail!(
                "admin.listen = \"{}\": its port is chosen at the start; pass --admin",
                admin.listen
            );
        }
        Ok(reachable(admin.listen).to_string())
    }
}

/// The admin endpoints speak plain HTTP.
fn plain_url(text: &str) -> Result<ServerUrl, &'static str> {
    let url: Option<ServerUrl> = text.parse().ok();
    url.filter(|url| url.scheme == Scheme::Http)
        .ok_or("accepted is http://HOST:PORT")
}

/// Where a listener can be reached from the same machine: one that takes every address is on loopback too.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// `GET /readyz`: the status, and what the body says.
async fn ask(authority: &str) -> anyhow::Result<(StatusCode, String)> {
    let stream = TcpStream::connect(authority).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/readyz")
        .header(HOST, authority)
        .body(Empty::<Bytes>::new())?;
    // The sender goes with the exchange, and the connection with the sender.
    let exchange = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    let (answer, _) = tokio::join!(exchange, connection);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:9900", "127.0.0.1:9900"),
            ("[::]:9900", "[::1]:9900"),
            ("192.0.2.1:9900", "192.0.2.1:9900"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
        }
    }
}
