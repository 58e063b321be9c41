//! How the body of a message is framed (RFC 9112 section 6).

use http::HeaderMap;
use http::header::TRANSFER_ENCODING;

/// Why the framing of a message is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadFraming {
    /// Section 6.1: who does not understand a coding cannot know what the body is.
    #[error("the transfer coding {0:?} is not supported: only chunked is")]
    Coding(String),
    /// Section 6.1: chunked is applied once, and last.
    #[error("Transfer-Encoding must name chunked once")]
    Chunked,
}

/// Whether a message's body is chunked.
///
/// hyper takes any list that ends in chunked, and undoes the last coding only: what is passed on would be garbage.
pub(crate) fn is_chunked(headers: &HeaderMap) -> Result<bool, BadFraming> {
    let mut chunked = 0;
    for value in headers.get_all(TRANSFER_ENCODING) {
        let value = value.to_str().map_err(|_| BadFraming::Chunked)?;
        for coding in value.split(',').map(str::trim).filter(|coding| !coding.is_empty()) {
            if !coding.eq_ignore_ascii_case("chunked") {
                return Err(BadFraming::Coding(coding.to_owned()));
            }
            chunked += 1;
        }
    }
    match chunked {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(BadFraming::Chunked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_chunked_and_only_once() {
        let coding = |name: &str| Err(BadFraming::Coding(name.to_owned()));
        for (lines, expected) in [
            (&[][..], Ok(false)),
            (&["chunked"], Ok(true)),
            (&["Chunked"], Ok(true)),
            (&[" , chunked,"], Ok(true)),
            (&["gzip, chunked"], coding("gzip")),
            (&["gzip", "chunked"], coding("gzip")),
            (&["identity"], coding("identity")),
            (&["chunked;a=b"], coding("chunked;a=b")),
            (&["chunked, chunked"], Err(BadFraming::Chunked)),
            (&["chunked", "chunked"], Err(BadFraming::Chunked)),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(TRANSFER_ENCODING, line.parse().unwrap());
            }
            assert_eq!(is_chunked(&headers), expected, "{lines:?}");
        }
    }
}
