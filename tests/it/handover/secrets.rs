//! The secrets of a connection are in no file, no log and no answer.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::KeyLog;

use crate::support::client::plain;
use crate::support::{Client, Family, Origin, soon};

/// Every secret of a client's connections, by its label.
#[derive(Debug, Default)]
struct Known(Mutex<Vec<(String, Vec<u8>)>>);

impl KeyLog for Known {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        self.0.lock().unwrap().push((label.to_owned(), secret.to_vec()));
    }
}

/// The ways in which bytes are written down.
fn written(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    // As Rust prints them, and as JSON does.
    let list = secret[..8].iter().map(u8::to_string).collect::<Vec<_>>();
    vec![
        secret[..16].to_vec(),
        hex.as_bytes()[..32].to_vec(),
        hex[..32].to_uppercase().into_bytes(),
        list.join(", ").into_bytes(),
        list.join(",").into_bytes(),
    ]
}

fn has(place: &[u8], needle: &[u8]) -> bool {
    place.windows(needle.len()).any(|window| window == needle)
}

fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.is_file() {
            found.push((path.display().to_string(), std::fs::read(path).unwrap()));
        }
    }
}

async fn raw(address: std::net::SocketAddr, path: &str) -> Vec<u8> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    soon("an answer", stream.read_to_end(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn secrets_are_in_no_file_no_log_and_no_answer() {
    let origin = Origin::demo().await;
    let servers = [format!("http://{}", origin.address)];
    // All that is ever logged.
    let settings = "server.workers = 2\nhead_policy = \"pin\"\nlog.filter = \"trace\"";
    let family = Family::start(&servers, settings).await;
    let known = Arc::<Known>::default();
    let versions = [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12][..]];
    let mut clients = Vec::new();
    for versions in versions {
        let tap = Arc::clone(&known);
        let connecting = Client::connect_with(family.address, family.roots.clone(), versions, |config| {
            config.key_log = tap;
        });
        let mut client = soon("connect", connecting).await;
        client.upgrade("/echo", b"\x82\x84\0\0\0\0head").await;
        assert_eq!(client.frame().await, (0x82, b"head".to_vec()));
        clients.push(client);
    }
    family.upgrade().await;
    clients[0].echo(b"after").await;

    let mut places = Vec::new();
    for path in [
        "/metrics",
        "/api/connections",
        "/api/slabs",
        "/api/memory",
        "/api/upstreams",
        "/snapshot",
        "/debug/pprof/heap",
    ] {
        places.push((path.to_owned(), raw(family.admin, path).await));
    }
    let (status, _) = plain(family.admin, "GET", "/readyz", "").await;
    assert_eq!(status, 200);
    files(family.folder.path(), &mut places);
    drop(clients);
    family.log().wait_for("tunnel", 2).await;
    places.push(("the log".to_owned(), family.log().text().into_bytes()));

    let secrets = known.0.lock().unwrap();
    let labels: Vec<_> = secrets.iter().map(|(label, _)| label.as_str()).collect();
    assert!(
        labels.contains(&"SERVER_TRAFFIC_SECRET_0") && labels.contains(&"CLIENT_RANDOM"),
        "{labels:?}"
    );
    for (name, place) in &places {
        assert!(place.len() > 20, "{name} is empty");
        for (label, secret) in secrets.iter() {
            let found = written(secret).into_iter().find(|needle| has(place, needle));
            assert!(found.is_none(), "{name} has {label}");
        }
    }
    // What is searched for would be found.
    let (_, secret) = &secrets[0];
    for needle in written(secret) {
        assert!(has(&[b"before ", &needle[..], b" after"].concat(), &needle));
    }
    // A snapshot has the paths of connections, so it was looked at.
    let snapshot = places.iter().find(|(name, _)| name == "/snapshot");
    assert!(snapshot.is_some_and(|(_, snapshot)| has(snapshot, b"/echo")));
}
