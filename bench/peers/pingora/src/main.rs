//! A TLS reverse proxy on Pingora, as small as its own examples: `headpin-peer-pingora LISTEN CERTIFICATE KEY ORIGIN`.

use std::net::SocketAddr;

use async_trait::async_trait;
use pingora::listeners::tls::TlsSettings;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;

struct ToOrigin(SocketAddr);

#[async_trait]
impl ProxyHttp for ToOrigin {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, certificate, key, origin] = arguments.as_slice() else {
        return Err("usage: headpin-peer-pingora LISTEN CERTIFICATE KEY ORIGIN".into());
    };
    let configuration = ServerConf {
        // As many workers as every other proxy here has.
        threads: 2,
        // A connection stays on its thread; on loopback, with equal connections, stealing only costs.
        work_stealing: false,
        // Kept connections to the origin, as nginx's `keepalive 64` here.
        upstream_keepalive_pool_size: 64,
        // SIGTERM ends it at once: nothing is to be drained between two measurements.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, configuration);
    server.bootstrap();
    let mut proxy = http_proxy_service(&server.configuration, ToOrigin(origin.parse()?));
    // TLS 1.2 and 1.3 by rustls's defaults, with tickets; no HTTP/2. No access log is written unless one is programmed.
    proxy.add_tls_with_settings(listen, None, TlsSettings::intermediate(certificate, key)?);
    server.add_service(proxy);
    server.run_forever()
}
