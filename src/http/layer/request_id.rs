//! Ids for requests that come without one.

use http::{HeaderValue, Request};
use tower_http::request_id::{MakeRequestId, RequestId};
use uuid::Uuid;

/// Makes random UUIDs (version 4, RFC 9562 section 5.4).
///
/// tower-http's own `MakeRequestUuid` asks the kernel for randomness, a system call for each request. An id is no secret, it must
/// only be another one each time: this draws from a generator that is seeded at random once a thread.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RandomRequestId;

impl MakeRequestId for RandomRequestId {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        let id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid();
        let mut text = Uuid::encode_buffer();
        let text = id.hyphenated().encode_lower(&mut text);
        HeaderValue::from_str(text).ok().map(RequestId::new)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_random_uuids() {
        let mut make = RandomRequestId;
        let mut ids = HashSet::new();
        for _ in 0..1000 {
            let id = make.make_request_id(&Request::new(())).expect("randomness");
            let id = id.header_value().to_str().expect("text").to_owned();
            assert_eq!(Uuid::parse_str(&id).expect("a UUID").get_version_num(), 4);
            assert!(ids.insert(id), "one id twice");
        }
    }
}
