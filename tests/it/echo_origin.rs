//! The origin of the embedded default where there is no laboratory.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::support::program::headpin;
use crate::support::soon;

/// `headpin echo-origin`; it ends with its standard input.
struct Origin {
    child: Child,
    address: String,
}

impl Origin {
    fn start() -> Self {
        let mut child = headpin(&["echo-origin", "--until-stdin-closes"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim_end()
            .strip_prefix("listening on http://")
            .expect("an address");
        Self {
            address: address.to_owned(),
            child,
        }
    }

    /// The whole response to a request without a body.
    async fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    }
}

#[tokio::test]
async fn it_greets_echoes_and_ends_with_who_started_it() {
    let mut origin = Origin::start();
    soon("answers and echoes", async {
        let greeting = origin.get("/").await;
        assert!(
            greeting.starts_with("HTTP/1.1 200") && greeting.contains("GET /echo"),
            "{greeting}"
        );
        let no_websocket = origin.get("/echo").await;
        assert!(no_websocket.starts_with("HTTP/1.1 400"), "{no_websocket}");
        let nothing = origin.get("/download").await;
        assert!(nothing.starts_with("HTTP/1.1 404"), "{nothing}");

        let stream = TcpStream::connect(&origin.address).await.unwrap();
        let (mut socket, _) = client_async("ws://localhost/echo", stream).await.unwrap();
        for message in [Message::text("hello"), Message::binary(vec![0; 100_000])] {
            socket.send(message.clone()).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), message);
        }
        socket.close(None).await.unwrap();
        assert!(socket.next().await.unwrap().unwrap().is_close());
    })
    .await;
    drop(origin.child.stdin.take());
    assert_eq!(origin.child.wait().unwrap().code(), Some(1));
}
