//! A proxy in this process.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use headpin::app::{self, Running};
use headpin::config::Config;
use headpin::observe::labels::{HeadPolicy, Label, SlabClass};
use headpin::observe::metrics::Metrics;
use rustls::RootCertStore;
use tempfile::TempDir;

use super::client::Answer;
use super::{Client, Origin, certificates, eventually, soon};

/// A running proxy with files of its own.
pub struct Proxy {
    pub running: Running,
    pub metrics: Arc<Metrics>,
    pub admin: SocketAddr,
    pub address: SocketAddr,
    pub folder: TempDir,
    roots: RootCertStore,
}

impl Proxy {
    /// In front of `origin`; `settings` is further TOML, whose tables must not be `tls` or `upstream`.
    pub fn start(origin: &Origin, policy: HeadPolicy, settings: &str) -> Self {
        Self::with_servers(&[format!("http://{}", origin.address)], policy, settings)
    }

    pub fn with_servers(servers: &[String], policy: HeadPolicy, settings: &str) -> Self {
        Self::with_toml(&toml(servers, policy, settings))
    }

    /// With further keys of the table `admin`.
    pub fn with_admin(origin: &Origin, policy: HeadPolicy, settings: &str, admin: &str) -> Self {
        let servers = [format!("http://{}", origin.address)];
        Self::with_toml(&(toml(&servers, policy, settings) + admin))
    }

    /// In front of `back`, over TLS.
    pub fn over_tls(back: &Self, policy: HeadPolicy, settings: &str) -> Self {
        Self::over_tls_trusting(back, back, policy, settings)
    }

    /// The same, with trust in the authority of `trusted`.
    pub fn over_tls_trusting(back: &Self, trusted: &Self, policy: HeadPolicy, settings: &str) -> Self {
        let server = format!("https://localhost:{}", back.address.port());
        let ca = trusted.folder.path().join("ca.pem");
        let text = toml(&[server], policy, settings);
        Self::with_toml(&text.replace("[upstream]\n", &format!("[upstream]\nca = {ca:?}\n")))
    }

    /// With `routes`, which is TOML of any tables but those for certificates and listeners.
    pub fn with_routes(routes: &str) -> Self {
        Self::with_toml(&routed(routes))
    }

    /// Writes the config file anew for [`Self::with_routes`], and puts it in force.
    pub async fn reload_routes(&self, routes: &str) {
        std::fs::write(self.folder.path().join("headpin.toml"), routed(routes)).unwrap();
        soon("reload", self.running.reload()).await.unwrap();
    }

    fn with_toml(text: &str) -> Self {
        let (folder, roots) = folder();
        let path = folder.path().join("headpin.toml");
        std::fs::File::create(&path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let config = Config::load(&path).unwrap_or_else(|error| panic!("{error}"));
        let running = app::start(config, Some(path), None).unwrap();
        Self {
            metrics: Arc::clone(&running.metrics),
            admin: running.admin_address,
            address: running.proxy_address,
            running,
            folder,
            roots,
        }
    }

    /// Writes the config file anew.
    pub fn write_config(&self, servers: &[String], policy: HeadPolicy, settings: &str) {
        std::fs::write(self.folder.path().join("headpin.toml"), toml(servers, policy, settings)).unwrap();
    }

    pub async fn connect(&self) -> Client {
        soon("connect", Client::connect(self.address, self.roots.clone())).await
    }

    /// A client whose upgrade to `path` is done.
    pub async fn tunnel(&self, path: &str) -> Client {
        let mut client = self.connect().await;
        client.upgrade(path, b"").await;
        client
    }

    /// An admin request; returns status and body.
    pub async fn admin(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        soon("admin", super::client::plain(self.admin, method, path, body)).await
    }

    /// The same with headers of the caller's choice, `Host` among them.
    pub async fn admin_with(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        soon(
            "admin",
            super::client::exchange(self.admin, method, path, headers, body),
        )
        .await
    }

    pub fn pinned_bytes(&self) -> i64 {
        self.metrics.slab_pinned_bytes[SlabClass::Tls].get()
    }

    /// Drains, and checks that nothing is left behind.
    pub async fn stop(self) {
        self.running.drain();
        let metrics = Arc::clone(&self.metrics);
        let ended = soon("the end", self.running.ended()).await;
        assert_eq!((ended.abandoned, ended.panicked), (0, 0));
        for class in SlabClass::VARIANTS {
            for (name, family) in [
                ("slabs_live", &metrics.slabs_live),
                ("slabs_pinned", &metrics.slabs_pinned),
                ("heads_held", &metrics.heads_held),
                ("head_held_bytes", &metrics.head_held_bytes),
            ] {
                assert_eq!(family[*class].get(), 0, "{name} {class} is left behind");
            }
        }
        assert_nothing_open(&metrics);
    }
}

/// No connection, tunnel or request is open.
pub fn assert_nothing_open(metrics: &Metrics) {
    for (name, gauge) in [
        ("downstream_connections_open", &metrics.downstream_connections_open),
        ("tunnels_open", &metrics.tunnels_open),
        ("requests_in_flight", &metrics.requests_in_flight),
        ("upstream_connections_open", &metrics.upstream_connections_open),
    ] {
        assert_eq!(gauge.get(), 0, "{name} is left behind");
    }
}

/// Waits until no client is connected.
pub async fn all_gone(metrics: &Metrics) {
    eventually("all connections gone", || {
        metrics.downstream_connections_open.get() == 0
    })
    .await;
}

/// A folder with certificates, and the roots that they are trusted by.
pub fn folder() -> (TempDir, RootCertStore) {
    let folder = tempfile::tempdir().unwrap();
    let made = certificates();
    std::fs::write(folder.path().join("ca.pem"), &made.ca).unwrap();
    std::fs::write(folder.path().join("leaf.pem"), &made.leaf).unwrap();
    std::fs::write(folder.path().join("key.pem"), &made.leaf_key).unwrap();
    let mut roots = RootCertStore::empty();
    let mut pem = made.ca.as_bytes();
    for certificate in rustls_pemfile::certs(&mut pem) {
        roots.add(certificate.unwrap()).unwrap();
    }
    (folder, roots)
}

fn routed(routes: &str) -> String {
    format!(
        "server.listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\n\
         tls.certificates = [{{ cert = \"leaf.pem\", key = \"key.pem\" }}]\n{routes}"
    )
}

fn toml(servers: &[String], policy: HeadPolicy, settings: &str) -> String {
    let admin = match settings.contains("[admin]") {
        true => "",
        false => "[admin]\nlisten = \"127.0.0.1:0\"\n",
    };
    // Each test has a port of its own: tests run side by side, and listeners of one user share a port.
    let server = match settings.contains("[server]") {
        true => "",
        false => "server.listen = \"127.0.0.1:0\"\n",
    };
    format!(
        "head_policy = \"{policy}\"\n{server}{settings}\n[tls]\ncertificates = [{{ cert = \"leaf.pem\", key = \"key.pem\" }}]\n\
         [upstream]\nservers = {servers:?}\n{admin}"
    )
}
