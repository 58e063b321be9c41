//! Plain requests as an origin sees them, and their answers as a client does.

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{Client, Origin, Scripted};

pub const EMPTY_200: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A request as an origin has received it: its head, and its body without chunks.
#[derive(Debug)]
pub struct Seen {
    pub head: String,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn field(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().skip(1).find(|line| {
            let (field, _) = line.split_once(':').unwrap_or_default();
            field.eq_ignore_ascii_case(name)
        });
        line.map(|line| line.split_once(':').unwrap().1.trim())
    }
}

pub async fn take(connection: &mut Scripted) -> Seen {
    let head = connection.request().await;
    let mut seen = Seen { head, body: Vec::new() };
    if let Some(length) = seen.field("content-length") {
        let length = length.parse().unwrap();
        seen.body = connection.receive(length).await;
    } else if seen.field("transfer-encoding").is_some() {
        loop {
            let size = line(connection).await;
            let size = usize::from_str_radix(&size, 16).unwrap();
            seen.body.extend(connection.receive(size).await);
            assert_eq!(line(connection).await, "");
            if size == 0 {
                break;
            }
        }
    }
    seen
}

async fn line(connection: &mut Scripted) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.extend(connection.receive(1).await);
    }
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

/// Answers every request with `answer`, and reports it.
pub async fn reporting(answer: &'static [u8]) -> (Origin, UnboundedReceiver<Seen>) {
    let (report, seen) = unbounded_channel();
    let origin = Origin::scripted(move |mut connection| {
        let report = report.clone();
        async move {
            loop {
                let request = take(&mut connection).await;
                if report.send(request).is_err() {
                    return;
                }
                connection.send(answer).await;
            }
        }
    });
    (origin.await, seen)
}

/// The status of a response, whose body is read.
pub async fn status(client: &mut Client) -> (u16, String) {
    let head = client.response_head().await;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let body = client.receive(length.map_or(0, |length| length.parse().unwrap())).await;
    (status, String::from_utf8(body).unwrap())
}

/// Asks for `target` of `host` and returns the status and the body of the answer.
pub async fn get(client: &mut Client, host: &str, target: &str) -> (u16, String) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    client.send(request.as_bytes()).await;
    status(client).await
}

/// Answers every request with `name`, and with 101 one that asks for a WebSocket.
pub async fn named(name: &'static str) -> Origin {
    Origin::scripted(move |mut connection| async move {
        loop {
            let Some(head) = connection.request_or_end().await else {
                return;
            };
            if head.to_lowercase().contains("upgrade: websocket") {
                connection.send(super::origin::switching().as_bytes()).await;
                connection.rest().await;
                return;
            }
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
            connection.send(answer.as_bytes()).await;
        }
    })
    .await
}
