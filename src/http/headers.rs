//! Which headers go on, and which are added (RFC 9110 section 7.6, RFC 7239).

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, COOKIE, DATE, EXPECT, FORWARDED, HOST, HeaderName, LOCATION, ORIGIN,
    SET_COOKIE, TE, TRANSFER_ENCODING, UPGRADE, VARY, VIA, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue};

use crate::config::{FieldChanges, ForwardedPolicy};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Fields that are about one connection, whether `Connection` names them or not (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
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
const END_TO_END: [HeaderName; 14] = [
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

/// What requests must know of the listener that they came to.
#[derive(Debug, Clone, Copy)]
pub struct Listener {
    /// What clients speak to it, as a URI begins.
    pub scheme: &'static str,
    /// Its port.
    pub port: u16,
}

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) peer: SocketAddr,
    pub(crate) listener: Listener,
}

/// Makes a client's headers ready for the upstream.
pub(crate) fn prepare_request(headers: &mut HeaderMap, origin: Origin, policy: ForwardedPolicy) {
    remove_hop_by_hop(headers);
    headers.append(VIA, HeaderValue::from_static("1.1 headpin"));
    if policy == ForwardedPolicy::Replace {
        for name in [
            FORWARDED,
            X_FORWARDED_FOR,
            X_FORWARDED_HOST,
            X_FORWARDED_PORT,
            X_FORWARDED_PROTO,
        ] {
            headers.remove(name);
        }
    }
    let host = headers.get(HOST).cloned();
    let Origin { peer, listener } = origin;
    let peer = peer.ip().to_canonical();
    append(headers, &X_FORWARDED_FOR, peer.to_string());
    append(headers, &FORWARDED, forwarded(peer, host.as_ref(), listener.scheme));
    // These describe the client's own request, so the first proxy that says it is right.
    insert_if_absent(headers, X_FORWARDED_PROTO, HeaderValue::from_static(listener.scheme));
    insert_if_absent(headers, X_FORWARDED_PORT, HeaderValue::from(listener.port));
    if let Some(host) = host {
        insert_if_absent(headers, X_FORWARDED_HOST, host);
    }
}

/// As long as an element of `Forwarded` mostly is, in bytes.
const ELEMENT: usize = 96;

/// RFC 7239 section 4; an IPv6 address is quoted and in brackets (section 6).
fn forwarded(peer: IpAddr, host: Option<&HeaderValue>, scheme: &str) -> String {
    let mut element = String::with_capacity(ELEMENT);
    let written = match peer {
        IpAddr::V4(ip) => write!(element, "for={ip}"),
        IpAddr::V6(ip) => write!(element, "for=\"[{ip}]\""),
    };
    written.expect("writing to a string cannot fail");
    // A host with anything in it that would end the quoting is left out.
    if let Some(host) = host
        .and_then(|host| host.to_str().ok())
        .filter(|host| !host.contains(['"', '\\']))
    {
        element.push_str(";host=\"");
        element.push_str(host);
        element.push('"');
    }
    element.push_str(";proto=");
    element.push_str(scheme);
    element
}

/// Adds to a list, as one line.
fn append(headers: &mut HeaderMap, name: &HeaderName, value: String) {
    let earlier: Vec<&str> = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let list = if earlier.is_empty() {
        value
    } else {
        format!("{}, {value}", earlier.join(", "))
    };
    if let Ok(list) = HeaderValue::try_from(list) {
        headers.insert(name, list);
    }
}

fn insert_if_absent(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    headers.entry(name).or_insert(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(peer: &str) -> Origin {
        Origin {
            peer: peer.parse().unwrap(),
            listener: Listener {
                scheme: "https",
                port: 8443,
            },
        }
    }

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

    #[test]
    fn a_client_cannot_claim_to_be_another_unless_that_is_configured() {
        let claim = [
            ("host", "example.org"),
            ("x-forwarded-for", "10.0.0.1"),
            ("forwarded", "for=10.0.0.1"),
        ];
        let mut replaced = headers(&claim);
        prepare_request(&mut replaced, origin("192.0.2.7:5000"), ForwardedPolicy::Replace);
        assert_eq!(replaced["x-forwarded-for"], "192.0.2.7");
        assert_eq!(replaced["forwarded"], "for=192.0.2.7;host=\"example.org\";proto=https");
        let mut appended = headers(&claim);
        prepare_request(&mut appended, origin("192.0.2.7:5000"), ForwardedPolicy::Append);
        assert_eq!(appended["x-forwarded-for"], "10.0.0.1, 192.0.2.7");
        assert_eq!(
            appended["forwarded"],
            "for=10.0.0.1, for=192.0.2.7;host=\"example.org\";proto=https"
        );
    }

    #[test]
    fn an_ipv6_client_is_quoted_and_a_mapped_one_is_ipv4() {
        let mut all = headers(&[]);
        prepare_request(&mut all, origin("[2001:db8::1]:5000"), ForwardedPolicy::Replace);
        assert_eq!(all["forwarded"], "for=\"[2001:db8::1]\";proto=https");
        let mut all = headers(&[]);
        prepare_request(&mut all, origin("[::ffff:192.0.2.7]:5000"), ForwardedPolicy::Replace);
        assert_eq!(all["x-forwarded-for"], "192.0.2.7");
    }
}
