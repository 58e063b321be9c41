//! A viewer of the admin server's events that is no browser.

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;

use super::{Proxy, soon};

/// An open stream of events.
pub struct Events(Lines<BufReader<TcpStream>>);

impl Events {
    /// Asks for the events; the first of them comes at once.
    pub async fn follow(proxy: &Proxy) -> Self {
        let mut stream = TcpStream::connect(proxy.admin).await.unwrap();
        let request = format!("GET /api/events HTTP/1.1\r\nHost: {}\r\n\r\n", proxy.admin);
        stream.write_all(request.as_bytes()).await.unwrap();
        Self(BufReader::new(stream).lines())
    }

    /// The data of the next event.
    pub async fn next(&mut self) -> Value {
        self.find(|_| true).await
    }

    /// The data of the next event that is what the caller looks for.
    pub async fn find(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        soon("an event", async {
            loop {
                let line = self.0.next_line().await.unwrap().expect("the stream goes on");
                if let Some(data) = line.strip_prefix("data: ") {
                    let data = serde_json::from_str(data).unwrap();
                    if is_it(&data) {
                        return data;
                    }
                }
            }
        })
        .await
    }

    /// Whether one more viewer is let in.
    pub async fn is_there_room(proxy: &Proxy) -> bool {
        let mut events = Self::follow(proxy).await;
        let status = soon("an answer", events.0.next_line()).await.unwrap().unwrap();
        status.contains(" 200 ")
    }
}
