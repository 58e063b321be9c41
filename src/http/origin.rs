//! Where a request came from, and how its upstream is told: `Forwarded` (RFC 7239) and `X-Forwarded-*`.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HOST, HeaderName, VIA};
use http::{HeaderMap, HeaderValue};

use crate::config::ForwardedPolicy;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The maximum number of headers that [`Origin::tell`] adds.
const ADDED: usize = 6;

/// What requests must know of the listener that they came to.
#[derive(Debug, Clone, Copy)]
pub struct Listener {
    /// What clients speak to it, as a URI begins.
    pub scheme: &'static str,
    /// Its port.
    pub port: u16,
}

/// Where the requests of a connection come from. What all of them tell of it is written once.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) peer: SocketAddr,
    listener: Listener,
    address: HeaderValue,
    port: HeaderValue,
    /// The host of the request before, and its element of `Forwarded`: most clients ask one host for everything.
    last: RefCell<Option<(HeaderValue, HeaderValue)>>,
}

impl Origin {
    pub(crate) fn new(peer: SocketAddr, listener: Listener) -> Self {
        let address = peer.ip().to_canonical().to_string();
        Self {
            peer,
            listener,
            address: HeaderValue::try_from(address).expect("an address is visible text"),
            port: HeaderValue::from(listener.port),
            last: RefCell::default(),
        }
    }

    /// Where they come to.
    pub(crate) fn listener(&self) -> Listener {
        self.listener
    }

    /// Tells the upstream of a request with these headers where it came from.
    pub(crate) fn tell(&self, headers: &mut HeaderMap, policy: ForwardedPolicy) {
        headers.reserve(ADDED);
        headers.append(VIA, HeaderValue::from_static("1.1 headpin"));
        let host = headers.get(HOST).cloned();
        let element = self.element(host.as_ref());
        let scheme = HeaderValue::from_static(self.listener.scheme);
        match policy {
            ForwardedPolicy::Replace => {
                headers.insert(FORWARDED, element);
                headers.insert(X_FORWARDED_FOR, self.address.clone());
                headers.insert(X_FORWARDED_PROTO, scheme);
                headers.insert(X_FORWARDED_PORT, self.port.clone());
                match host {
                    Some(host) => headers.insert(X_FORWARDED_HOST, host),
                    None => headers.remove(X_FORWARDED_HOST),
                };
            }
            ForwardedPolicy::Append => {
                append(headers, &FORWARDED, element);
                append(headers, &X_FORWARDED_FOR, self.address.clone());
                // These describe the client's own request, so the first proxy that says it is right.
                headers.entry(X_FORWARDED_PROTO).or_insert(scheme);
                headers.entry(X_FORWARDED_PORT).or_insert_with(|| self.port.clone());
                if let Some(host) = host {
                    headers.entry(X_FORWARDED_HOST).or_insert(host);
                }
            }
        }
    }

    /// The element of `Forwarded` of a request for `host`.
    fn element(&self, host: Option<&HeaderValue>) -> HeaderValue {
        if let (Some(host), Some((last, element))) = (host, &*self.last.borrow())
            && host == last
        {
            return element.clone();
        }
        let element = forwarded(self.peer.ip().to_canonical(), host, self.listener.scheme);
        let element = HeaderValue::try_from(element).expect("made of visible text");
        if let Some(host) = host
            // A copy: the host itself is a slice of all that was read with it.
            && let Ok(host) = HeaderValue::from_bytes(host.as_bytes())
        {
            self.last.replace(Some((host, element.clone())));
        }
        element
    }
}

/// RFC 7239 section 4; an IPv6 address is quoted and in brackets (section 6).
fn forwarded(peer: IpAddr, host: Option<&HeaderValue>, scheme: &str) -> String {
    let mut element = match peer {
        IpAddr::V4(ip) => format!("for={ip}"),
        IpAddr::V6(ip) => format!("for=\"[{ip}]\""),
    };
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
fn append(headers: &mut HeaderMap, name: &HeaderName, value: HeaderValue) {
    let mut list = Vec::new();
    for earlier in headers.get_all(name) {
        list.extend_from_slice(earlier.as_bytes());
        list.extend_from_slice(b", ");
    }
    let value = if list.is_empty() {
        value
    } else {
        list.extend_from_slice(value.as_bytes());
        HeaderValue::try_from(list).expect("values joined are a value")
    };
    headers.insert(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(peer: &str) -> Origin {
        let listener = Listener {
            scheme: "https",
            port: 8443,
        };
        Origin::new(peer.parse().unwrap(), listener)
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn a_client_cannot_claim_to_be_another_unless_that_is_configured() {
        let claim = [
            ("host", "example.org"),
            ("x-forwarded-for", "10.0.0.1"),
            ("forwarded", "for=10.0.0.1"),
        ];
        let mut replaced = headers(&claim);
        origin("192.0.2.7:5000").tell(&mut replaced, ForwardedPolicy::Replace);
        assert_eq!(replaced["x-forwarded-for"], "192.0.2.7");
        assert_eq!(replaced["forwarded"], "for=192.0.2.7;host=\"example.org\";proto=https");
        let mut appended = headers(&claim);
        origin("192.0.2.7:5000").tell(&mut appended, ForwardedPolicy::Append);
        assert_eq!(appended["x-forwarded-for"], "10.0.0.1, 192.0.2.7");
        assert_eq!(
            appended["forwarded"],
            "for=10.0.0.1, for=192.0.2.7;host=\"example.org\";proto=https"
        );
    }

    #[test]
    fn an_ipv6_client_is_quoted_and_a_mapped_one_is_ipv4() {
        let mut all = headers(&[]);
        origin("[2001:db8::1]:5000").tell(&mut all, ForwardedPolicy::Replace);
        assert_eq!(all["forwarded"], "for=\"[2001:db8::1]\";proto=https");
        let mut all = headers(&[]);
        origin("[::ffff:192.0.2.7]:5000").tell(&mut all, ForwardedPolicy::Replace);
        assert_eq!(all["x-forwarded-for"], "192.0.2.7");
    }

    #[test]
    fn each_request_of_a_connection_tells_its_own_host() {
        let origin = origin("192.0.2.7:5000");
        let told = |host: Option<&'static str>| {
            let mut all: HeaderMap = host.iter().map(|host| (HOST, HeaderValue::from_static(host))).collect();
            all.insert(X_FORWARDED_HOST, HeaderValue::from_static("claimed"));
            origin.tell(&mut all, ForwardedPolicy::Replace);
            let text = |name| {
                all.get(name)
                    .map(|value: &HeaderValue| value.to_str().unwrap().to_owned())
            };
            assert_eq!(text(X_FORWARDED_HOST).as_deref(), host);
            text(FORWARDED).unwrap()
        };
        for (host, element) in [
            (Some("a.test"), "for=192.0.2.7;host=\"a.test\";proto=https"),
            (Some("a.test"), "for=192.0.2.7;host=\"a.test\";proto=https"),
            (Some("b.test"), "for=192.0.2.7;host=\"b.test\";proto=https"),
            (None, "for=192.0.2.7;proto=https"),
            (Some("b\"c"), "for=192.0.2.7;proto=https"),
            (Some("b.test"), "for=192.0.2.7;host=\"b.test\";proto=https"),
        ] {
            assert_eq!(told(host), element, "{host:?}");
        }
    }
}
