//! A connection that carries one request after another.

use super::client::Client;
use super::fault::Fault;
use super::http::Head;
use super::stream::Stream;

/// One connection for requests, made anew when the target has ended it after a response.
#[derive(Debug)]
pub(super) struct KeptAlive {
    index: u64,
    stream: Option<Stream>,
}

impl KeptAlive {
    pub(super) async fn connect(client: &Client, index: u64) -> Result<Self, Fault> {
        Ok(Self {
            index,
            stream: Some(client.connect(index).await?),
        })
    }

    /// The connection for the next request.
    pub(super) async fn stream(&mut self, client: &Client) -> Result<&mut Stream, Fault> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => client.connect(self.index).await?,
        };
        Ok(self.stream.insert(stream))
    }

    /// The connection that a response is being read from.
    pub(super) fn current(&mut self) -> Option<&mut Stream> {
        self.stream.as_mut()
    }

    /// The response with this head has been read to its end.
    pub(super) fn answered(&mut self, head: &Head) {
        if head
            .field("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
        {
            self.stream = None;
        }
    }
}
