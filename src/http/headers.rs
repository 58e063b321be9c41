//! Which headers go on (RFC 9110 section 7.6), and what a route changes of them.

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, COOKIE, DATE, EXPECT, FORWARDED, HOST, HeaderName, LOCATION, ORIGIN,
    SET_COOKIE, TE, TRANSFER_ENCODING, UPGRADE, VARY, VIA, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue};

use crate::config::FieldChanges;

/// Fields that are about one connection, whether `Connection` names them or not (RFC 9110 section 7.6.1).
static HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authorization"),
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Fields that `Connection` cannot take away: those for every recipient (RFC 9110 section 7.6.1), without which a request means
/// something else, and those by which a proxy says where it came from.
static END_TO_END: [HeaderName; 14] = [
    HOST,
    AUTHORIZATION,
    CACHE_CONTROL,
    COOKIE,
    DATE,
    EXPECT,
    FORWARDED,
    LOCATION,
    ORIGIN,
    SET_COOKIE,
    VARY,
    VIA,
    WWW_AUTHENTICATE,
    HeaderName::from_static("x-request-id"),
];
const END_TO_END_PREFIXES: [&str; 4] = ["content-", "x-forwarded-", "access-control-", "sec-"];

fn is_end_to_end(name: &HeaderName) -> bool {
    END_TO_END.contains(name)
        || END_TO_END_PREFIXES
            .iter()
            .any(|prefix| name.as_str().starts_with(prefix))
}

/// Removes what is about this connection only: the fields named by `Connection`, and those known to be.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    // Most messages have none of them: a look at the names they have is cheaper than a search for each of these.
    if !headers.keys().any(|name| *name == TE || HOP_BY_HOP.contains(name)) {
        return;
    }
    let is_known = |name: &str| HOP_BY_HOP.iter().any(|known| known.as_str().eq_ignore_ascii_case(name));
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
        // Most name what goes anyway, or nothing.
        .filter(|name| !is_known(name) && !name.eq_ignore_ascii_case("close"))
        .filter_map(|name| name.parse().ok())
        .filter(|name| !is_end_to_end(name))
        .collect();
    // TE: trailers is the one value that may go on: bodies pass with their trailers.
    let trailers = super::handshake::has_token(headers, TE, "trailers");
    headers.remove(TE);
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Changes `headers` as a route's config says.
pub(crate) fn change(headers: &mut HeaderMap, changes: Option<&FieldChanges>) {
    let Some(changes) = changes else { return };
    for name in &changes.remove {
        headers.remove(name.name());
    }
    for line in &changes.set {
        headers.insert(line.name.name(), line.value.value().clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn what_connection_names_does_not_go_on() {
        let mut all = headers(&[
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("keep-alive", "5"),
            ("te", "gzip, trailers"),
            ("x-other", "2"),
        ]);
        remove_hop_by_hop(&mut all);
        assert_eq!(all, headers(&[("te", "trailers"), ("x-other", "2")]));
    }

    #[test]
    fn connection_does_not_take_away_what_is_for_everybody() {
        let kept = [
            ("host", "a.test"),
            ("content-length", "5"),
            ("authorization", "Basic YQ=="),
            ("x-forwarded-for", "192.0.2.1"),
        ];
        let mut all = headers(&kept);
        let named = "Host, Content-Length, Authorization, X-Forwarded-For, keep-alive";
        all.insert(CONNECTION, HeaderValue::from_static(named));
        remove_hop_by_hop(&mut all);
        assert_eq!(all, headers(&kept));
    }
}
