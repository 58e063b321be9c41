//! Debian's nginx as a TLS WebSocket proxy, on a free port, with its files in a directory of its own.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::pki::Pki;
use super::wait_for;

/// A running nginx; killed when dropped. It is one process, so that nothing outlives it.
pub(crate) struct Nginx {
    pub(crate) port: u16,
    server: Child,
    _directory: TempDir,
}

impl Nginx {
    pub(crate) async fn start(pki: &Pki, origin: SocketAddr) -> Self {
        // nginx cannot say which port 0 became; if another process takes the one found for it, it ends and is started
        // again on another.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(
                directory.path().join("nginx.conf"),
                configuration(&directory, pki, port, origin),
            )
            .unwrap();
            let mut server = Command::new("nginx")
                .arg("-p")
                .arg(directory.path())
                .args(["-c", "nginx.conf"])
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .expect("nginx is installed");
            let answers = wait_for("nginx's start", async || match server.try_wait().unwrap() {
                Some(_) => Some(false),
                None => TcpStream::connect(("127.0.0.1", port)).await.ok().map(|_| true),
            });
            if answers.await {
                return Self {
                    port,
                    server,
                    _directory: directory,
                };
            }
        }
        panic!("nginx did not start on any of five ports");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.server.id().expect("it runs")
    }

    pub(crate) fn url(&self) -> String {
        format!("wss://localhost:{}", self.port)
    }

    pub(crate) async fn stop(&mut self) {
        self.server.kill().await.unwrap();
    }
}

fn configuration(directory: &TempDir, pki: &Pki, port: u16, origin: SocketAddr) -> String {
    let at = directory.path().display();
    let mut temporary = String::new();
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(temporary, "{kind}_temp_path {at}/{kind};").unwrap();
    }
    format!(
        "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;
         worker_rlimit_nofile 8192; events {{ worker_connections 8000; }}
         http {{
           access_log off; keepalive_requests 5; client_max_body_size 0; {temporary}
           server {{
             listen 127.0.0.1:{port} ssl;
             ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.2 TLSv1.3;
             location / {{
               proxy_pass http://{origin}; proxy_http_version 1.1; proxy_read_timeout 1h;
               proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection;
               proxy_buffering off; proxy_request_buffering off;
             }}
           }}
         }}",
        pki.certificate().display(),
        pki.key().display()
    )
}
