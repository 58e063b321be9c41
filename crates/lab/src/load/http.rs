//! The little HTTP/1.1 that a load generator needs: one response's head, and bodies of a known length.

use std::future::poll_fn;
use std::task::Poll;

use super::fault::Fault;
use super::stream::{Received, Stream};

/// The longest head of a response, in bytes.
const HEAD_MAX: usize = 16 << 10;
/// The most header fields.
const FIELDS_MAX: usize = 64;
/// How much of a refusal's body is quoted.
const QUOTE_MAX: usize = 160;

/// A response up to its body, and what was read beyond.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    fields: Vec<(String, String)>,
    /// The first bytes of the body, or of what follows an upgrade.
    pub(super) rest: Vec<u8>,
}

impl Head {
    /// The value of a field, the name in lower case.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    }

    /// The length of the body.
    pub(super) fn content_length(&self) -> Result<u64, Fault> {
        let length = self.field("content-length").and_then(|length| length.parse().ok());
        length.ok_or(Fault::Protocol("a response without Content-Length"))
    }

    /// The fault that this response is, to what was `asked`.
    pub(super) fn refusal(&self, asked: &'static str) -> Fault {
        let quoted = String::from_utf8_lossy(&self.rest[..self.rest.len().min(QUOTE_MAX)]);
        let says = quoted.split_whitespace().collect::<Vec<_>>().join(" ");
        Fault::Answer {
            asked,
            status: self.status,
            says,
        }
    }
}

/// Reads until the end of a response's head.
///
/// # Cancel safety
/// What was read is lost; the connection is of no more use.
pub(super) async fn read_head(stream: &mut Stream) -> Result<Head, Fault> {
    let mut bytes = Vec::new();
    loop {
        let received = poll_fn(|cx| {
            stream.poll_receive(cx, usize::MAX, &mut |piece| {
                bytes.extend_from_slice(piece);
                Ok(())
            })
        });
        if received.await? == Received::End {
            return Err(Fault::Ended);
        }
        if let Some(head) = parse_head(&bytes)? {
            return Ok(head);
        }
        if bytes.len() > HEAD_MAX {
            return Err(Fault::Protocol("a response with a head of more than 16 KiB"));
        }
    }
}

fn parse_head(bytes: &[u8]) -> Result<Option<Head>, Fault> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let end = match response
        .parse(bytes)
        .map_err(|_| Fault::Protocol("a response that is not HTTP/1.1"))?
    {
        httparse::Status::Partial => return Ok(None),
        httparse::Status::Complete(end) => end,
    };
    let text = |field: &httparse::Header<'_>| {
        (
            field.name.to_ascii_lowercase(),
            String::from_utf8_lossy(field.value).trim().to_owned(),
        )
    };
    Ok(Some(Head {
        status: response.code.unwrap_or(0),
        fields: response.headers.iter().map(text).collect(),
        rest: bytes[end..].to_vec(),
    }))
}

/// Gives the body of `head` to `sink`, all of it and nothing more.
///
/// # Cancel safety
/// What was read is lost; the connection is of no more use.
pub(super) async fn read_body(
    stream: &mut Stream,
    head: &Head,
    sink: &mut impl FnMut(&[u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut left = head.content_length()?;
    let mut take = |piece: &[u8]| {
        left = left
            .checked_sub(piece.len() as u64)
            .ok_or(Fault::Protocol("more than the Content-Length"))?;
        sink(piece)?;
        Ok(left)
    };
    let mut remaining = take(&head.rest)?;
    while remaining > 0 {
        let received = poll_fn(|cx| {
            stream.poll_receive(cx, usize::MAX, &mut |piece| {
                remaining = take(piece)?;
                Ok(())
            })
        });
        if received.await? == Received::End {
            return Err(Fault::Ended);
        }
    }
    Ok(())
}

/// Sends all of `bytes`; what was not sent before goes first and in the same write.
///
/// # Cancel safety
/// It is not known how much was sent.
pub(super) async fn send(stream: &mut Stream, bytes: &[u8]) -> Result<(), Fault> {
    poll_fn(|cx| Poll::Ready(stream.send(cx, bytes))).await?;
    poll_fn(|cx| stream.poll_ready(cx)).await
}
