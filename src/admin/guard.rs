//! Whose requests are answered: not those that a web page of others sends through somebody's browser.
//!
//! A browser inside the network reaches this server for any page that it shows. Two ways lead there: a name that the
//! page's owner makes resolve to this address (DNS rebinding; then `Host` is that name), and a request across origins
//! (CSRF; then `Origin` is the page's, and `Sec-Fetch-Site` says so where there is no `Origin`). Both are refused before
//! anything is done. A client that is no browser sends what it likes: this is no authentication.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use super::problem::problem;
use crate::config::AdminHost;

/// Reads without effects and without secrets, asked for by names that nobody wants to list: scrapes and probes.
const OPEN: [&str; 3] = ["/metrics", "/livez", "/readyz"];

/// The names that are accepted besides `localhost` and addresses: `admin.hosts`.
pub(super) type Hosts = Arc<[AdminHost]>;

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error(
        "this server is not asked by the name {0:?}: accepted are IP addresses, \"localhost\" and the names of \
         admin.hosts in the config; add it there if it is yours"
    )]
    Host(String),
    #[error(
        "a web page of {0:?} may not use this server: accepted are its own pages, whose Origin is the Host that is \
         asked, and those of the names of admin.hosts in the config"
    )]
    Origin(String),
    #[error(
        "a web page of another site may not use this server: open it by itself, or by a name of admin.hosts in the config"
    )]
    CrossSite,
}

/// Answers 403 to what comes from elsewhere.
pub(super) async fn guard(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    if !OPEN.contains(&request.uri().path())
        && let Err(refusal) = check(&hosts, request.uri(), request.headers())
    {
        tracing::warn!(%refusal, path = request.uri().path(), "refused an admin request");
        return problem(StatusCode::FORBIDDEN, refusal.to_string());
    }
    next.run(request).await
}

fn check(hosts: &[AdminHost], uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let is_listed = |host: &AdminHost| hosts.iter().any(|listed| listed.covers(host));
    let text = |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));

    // RFC 9112 section 3.2.2: a request target with an authority outranks Host. A request without either is of no
    // browser.
    let asked = uri.authority().map(|authority| authority.as_str().into());
    let asked = asked.or_else(|| text(header::HOST.as_str()));
    let parsed = asked.as_ref().and_then(|asked| asked.parse::<AdminHost>().ok());
    let is_accepted = |host: &AdminHost| host.is_address() || host.is_localhost() || is_listed(host);
    if let Some(asked) = &asked
        && !parsed.as_ref().is_some_and(is_accepted)
    {
        return Err(Refusal::Host(asked.to_string()));
    }

    if let Some(origin) = text(header::ORIGIN.as_str()) {
        let host = origin.split_once("://").and_then(|(_, host)| host.parse().ok());
        let own = host.is_some_and(|host: AdminHost| parsed.as_ref() == Some(&host) || is_listed(&host));
        return if own {
            Ok(())
        } else {
            Err(Refusal::Origin(origin.into_owned()))
        };
    }
    // Following a link to here is no harm, reading or loading from elsewhere is.
    let is = |name: &str, value: &str| text(name).is_some_and(|text| text == value);
    let foreign = is("sec-fetch-site", "cross-site") || is("sec-fetch-site", "same-site");
    if foreign && !is("sec-fetch-mode", "navigate") {
        return Err(Refusal::CrossSite);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(headers: &[(&'static str, &'static str)]) -> Result<(), Refusal> {
        let hosts: Vec<AdminHost> = ["headpin", "headpin.internal:9900"]
            .map(|host| host.parse().unwrap())
            .into();
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        check(&hosts, &Uri::from_static("/api/drain"), &headers.collect())
    }

    #[test]
    fn addresses_localhost_and_listed_names_are_accepted() {
        for host in [
            "127.0.0.1:9900",
            "localhost",
            "[::1]:9900",
            "10.1.2.3:80",
            "headpin:1",
            "HEADPIN.internal:9900",
        ] {
            assert_eq!(checked(&[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(checked(&[]), Ok(()), "HTTP/1.0");
    }

    #[test]
    fn other_names_are_refused() {
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:9900",
            "headpin.internal",
            "",
            "a b",
            "localhost@evil",
        ] {
            assert_eq!(checked(&[("host", host)]), Err(Refusal::Host(host.to_owned())));
        }
    }

    #[test]
    fn the_name_in_the_request_target_outranks_host() {
        let headers = [("host", "localhost")].map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let uri = Uri::from_static("http://evil.example/api/drain");
        assert!(check(&[], &uri, &headers.into_iter().collect()).is_err());
    }

    #[test]
    fn an_origin_must_be_the_host_or_listed() {
        let with = |origin| checked(&[("host", "127.0.0.1:9900"), ("origin", origin)]);
        assert_eq!(with("http://127.0.0.1:9900"), Ok(()));
        assert_eq!(with("https://headpin"), Ok(()));
        for origin in [
            "null",
            "http://127.0.0.1:3000",
            "http://localhost:9900",
            "https://evil.example",
            "http://headpin.internal",
            "127.0.0.1:9900",
        ] {
            assert_eq!(with(origin), Err(Refusal::Origin(origin.to_owned())));
        }
    }

    #[test]
    fn what_another_site_loads_is_refused_and_its_links_are_followed() {
        let with = |site, mode| {
            checked(&[
                ("host", "localhost"),
                ("sec-fetch-site", site),
                ("sec-fetch-mode", mode),
            ])
        };
        assert_eq!(with("cross-site", "no-cors"), Err(Refusal::CrossSite));
        assert_eq!(with("same-site", "cors"), Err(Refusal::CrossSite));
        assert_eq!(with("cross-site", "navigate"), Ok(()));
        assert_eq!(with("same-origin", "cors"), Ok(()));
        assert_eq!(with("none", "navigate"), Ok(()));
    }
}
