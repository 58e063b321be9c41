//! Connecting to one of several addresses (RFC 8305, Happy Eyeballs), by hyper-util's connector.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use tokio::net::TcpStream;
use tower::{Service, ServiceExt};

use crate::config::ServerUrl;

/// Connects to one of `addresses`, which are those of `url`. The family that the system prefers is tried first, the other 300 ms
/// later beside it; `limit` is shared evenly by the addresses of a family, so that a silent one does not use it up.
///
/// # Errors
/// The last failure; `NotFound` if there is no address.
///
/// # Cancel safety
/// Dropping it closes what was being connected.
pub(super) async fn connect(url: &ServerUrl, addresses: Vec<SocketAddr>, limit: Duration) -> io::Result<TcpStream> {
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    let uri = Uri::builder()
        .scheme("http")
        .authority(url.authority())
        .path_and_query("/");
    let uri = uri.build().map_err(io::Error::other)?;
    let mut connector = HttpConnector::new_with_resolver(Resolved(addresses));
    connector.set_connect_timeout(Some(limit));
    match connector.ready().await.map_err(io::Error::other)?.call(uri).await {
        Ok(stream) => Ok(stream.into_inner()),
        Err(error) => {
            let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<io::Error>());
            Err(io::Error::new(
                cause.map_or(io::ErrorKind::Other, io::Error::kind),
                error,
            ))
        }
    }
}

/// A resolver that has resolved.
#[derive(Debug, Clone)]
struct Resolved(Vec<SocketAddr>);

impl Service<Name> for Resolved {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(self.0.clone().into_iter()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn another_address_is_tried_where_one_refuses_and_beside_one_that_is_silent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url: ServerUrl = format!("http://several.test:{port}").parse().unwrap();
        // 127.0.0.2 refuses; nobody answers for 2001:db8::1, or the machine has no way to it.
        for others in [&["127.0.0.2"][..], &["2001:db8::1"], &["2001:db8::1", "127.0.0.2"]] {
            let addresses = others.iter().chain(&["127.0.0.1"]);
            let addresses = addresses.map(|ip| SocketAddr::new(ip.parse().unwrap(), port)).collect();
            let stream = connect(&url, addresses, Duration::from_secs(20)).await.unwrap();
            assert_eq!(
                stream.peer_addr().unwrap(),
                listener.local_addr().unwrap(),
                "{others:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_failure_says_why() {
        let url: ServerUrl = "http://none.test:1".parse().unwrap();
        let error = connect(&url, Vec::new(), Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let refused = vec!["127.0.0.1:1".parse().unwrap()];
        let error = connect(&url, refused, Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
