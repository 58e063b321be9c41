//! The target of a request and the host that it is for (RFC 9112 section 3.2).

use http::header::HOST;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Request, Uri, Version};

/// Why a request's target or host is refused. The client's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadTarget {
    /// Section 3.2: origin-form, absolute-form, or `*` with OPTIONS.
    #[error("the request target must be a path, or a URL of http or https")]
    Form,
    /// RFC 9110 section 4.2.4.
    #[error("the request target must not name a user")]
    User,
    /// Section 3.2: one valid Host, which HTTP/1.0 may leave out.
    #[error("the request must have one valid Host header")]
    Host,
}

/// Checks the target and the host of `request`. An absolute target overrides Host (section 3.2.2).
pub(crate) fn check<B>(request: &mut Request<B>) -> Result<(), BadTarget> {
    if let Some(host) = host_of_target(request.uri(), request.method())? {
        let host = HeaderValue::try_from(host.as_str()).map_err(|_| BadTarget::Host)?;
        request.headers_mut().insert(HOST, host);
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host) => Ok(()),
        (None, _) if request.version() == Version::HTTP_10 => Ok(()),
        _ => Err(BadTarget::Host),
    }
}

fn host_of_target<'u>(uri: &'u Uri, method: &Method) -> Result<Option<&'u Authority>, BadTarget> {
    match (uri.scheme_str(), uri.authority()) {
        (None, None) if uri.path().starts_with('/') => Ok(None),
        (None, None) if uri.path() == "*" && method == Method::OPTIONS => Ok(None),
        (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => Err(BadTarget::User),
        (Some("http" | "https"), Some(authority)) => Ok(Some(authority)),
        _ => Err(BadTarget::Form),
    }
}

/// Empty, or a host with or without a port, and no user.
fn is_host(host: &HeaderValue) -> bool {
    host.is_empty() || (!host.as_bytes().contains(&b'@') && Authority::try_from(host.as_bytes()).is_ok())
}

/// What of a target goes to the upstream.
pub(crate) fn path(uri: &Uri) -> PathAndQuery {
    uri.path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(method: &str, target: &str, hosts: &[&str], version: Version) -> Result<Option<String>, BadTarget> {
        let mut request = Request::builder().method(method).uri(target).version(version);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let mut request = request.body(()).unwrap();
        check(&mut request)?;
        let host = request.headers().get(HOST);
        Ok(host.map(|host| host.to_str().unwrap().to_owned()))
    }

    #[test]
    fn a_target_is_a_path_or_a_url_and_the_host_is_one() {
        let of = |method, target, hosts| checked(method, target, hosts, Version::HTTP_11);
        let host = |host: &str| Ok(Some(host.to_owned()));
        assert_eq!(of("GET", "/a?b", &["a.test:80"]), host("a.test:80"));
        assert_eq!(of("GET", "/", &[""]), host(""));
        assert_eq!(of("GET", "http://b.test/x", &["a.test"]), host("b.test"));
        assert_eq!(of("GET", "https://[::1]:1/", &["a.test"]), host("[::1]:1"));
        assert_eq!(of("OPTIONS", "*", &["a.test"]), host("a.test"));
        assert_eq!(of("GET", "*", &["a.test"]), Err(BadTarget::Form));
        assert_eq!(of("GET", "a", &["a.test"]), Err(BadTarget::Form));
        assert_eq!(of("GET", "a.test:443", &["a.test"]), Err(BadTarget::Form));
        assert_eq!(of("GET", "ftp://a.test/", &["a.test"]), Err(BadTarget::Form));
        assert_eq!(of("GET", "http://u:p@evil.test/", &["a.test"]), Err(BadTarget::User));
        for hosts in [
            &[][..],
            &["a.test", "b.test"],
            &["u@a.test"],
            &["a test"],
            &["a.test/x"],
        ] {
            assert_eq!(of("GET", "/", hosts), Err(BadTarget::Host), "{hosts:?}");
        }
        assert_eq!(checked("GET", "/", &[], Version::HTTP_10), Ok(None));
    }
}
