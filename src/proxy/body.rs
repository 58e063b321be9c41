//! The bodies of requests and responses on their way through.

use bytes::Bytes;
use http_body::Body as HttpBody;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use tower::BoxError;

/// A streamed body, from either side.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

pub(crate) fn boxed<B>(body: B) -> Body
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

pub(crate) fn empty() -> Body {
    boxed(Empty::new())
}

pub(crate) fn text(text: impl Into<Bytes>) -> Body {
    boxed(Full::new(text.into()))
}
