//! Which route a request takes: the most specific one.

use std::collections::HashMap;
use std::sync::Arc;

use super::Route;
use super::path::NormalPath;
use crate::config::{HostPattern, PathPrefix};

/// Routes by host and path. Looking one up takes as many steps as the host has labels and the path segments, however many
/// routes there are.
#[derive(Debug, Default)]
pub(super) struct RouteTable {
    exact: HashMap<String, PathTable>,
    /// By what the host ends with.
    wildcard: HashMap<String, PathTable>,
    any: PathTable,
}

#[derive(Debug, Default)]
struct PathTable {
    /// By the path without a slash at its end.
    by_prefix: HashMap<String, Arc<Route>>,
    /// The one without a path, which is also the one of "/".
    root: Option<Arc<Route>>,
    /// The longest path in it, in segments.
    deepest: usize,
}

/// Why a request has no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// There are routes of its host, and none has its path.
    #[error("headpin has no route for this path")]
    Path,
    /// No route has its host.
    #[error("headpin does not serve this host")]
    Host,
    /// Servers differ in what they take its path for, and it would be another route's.
    #[error(
        "the path is ambiguous: a server that takes its encoded slash, backslash or empty segment for a slash would see a path of another route"
    )]
    Ambiguous,
    /// The path leads above its root.
    #[error("the path leads above its root")]
    AboveRoot,
}

impl RouteTable {
    pub(super) fn insert(&mut self, host: Option<&HostPattern>, path: Option<&PathPrefix>, route: Arc<Route>) {
        let table = match host {
            None => &mut self.any,
            Some(host) if host.is_wildcard => self.wildcard.entry(host.name.clone()).or_default(),
            Some(host) => self.exact.entry(host.name.clone()).or_default(),
        };
        match path.map(PathPrefix::trimmed) {
            None | Some("") => table.root = Some(route),
            Some(prefix) => {
                table.deepest = table.deepest.max(prefix.matches('/').count());
                table.by_prefix.insert(prefix.to_owned(), route);
            }
        }
    }

    /// The route of a request for `path` of `host`, which has a port or not.
    pub(super) fn find<'t>(&'t self, host: &str, path: &str) -> Result<&'t Arc<Route>, NoRoute> {
        // Nobody who has one route for everything pays for a choice.
        if let (true, true, 0, Some(route)) = (
            self.exact.is_empty(),
            self.wildcard.is_empty(),
            self.any.deepest,
            &self.any.root,
        ) {
            return Ok(route);
        }
        let host = without_port(host);
        let lower;
        let host = match host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => {
                lower = host.to_ascii_lowercase();
                &lower
            }
            false => host,
        };
        let path = NormalPath::of(path).map_err(|_| NoRoute::AboveRoot)?;
        let found = self.look_up(host, &path.strict);
        if let Some(lax) = &path.lax {
            let other = self.look_up(host, lax);
            let is_same = match (&found, &other) {
                (Ok(found), Ok(other)) => Arc::ptr_eq(found, other),
                (found, other) => found.is_err() && other.is_err(),
            };
            if !is_same {
                return Err(NoRoute::Ambiguous);
            }
        }
        found
    }

    fn look_up<'t>(&'t self, host: &str, path: &str) -> Result<&'t Arc<Route>, NoRoute> {
        let mut is_served = false;
        for table in self.tables(host) {
            is_served = true;
            if let Some(route) = table.look_up(path) {
                return Ok(route);
            }
        }
        Err(if is_served { NoRoute::Path } else { NoRoute::Host })
    }

    /// The tables that have `host`, the most specific one first.
    fn tables<'t, 'h>(&'t self, host: &'h str) -> impl Iterator<Item = &'t PathTable> + use<'t, 'h> {
        let endings = host.match_indices('.').map(|(at, _)| &host[at + 1..]);
        let wildcards = endings.filter_map(|ending| self.wildcard.get(ending));
        let any = Some(&self.any).filter(|any| any.root.is_some() || any.deepest > 0);
        self.exact.get(host).into_iter().chain(wildcards).chain(any)
    }
}

impl PathTable {
    fn look_up(&self, path: &str) -> Option<&Arc<Route>> {
        if self.deepest > 0 && path.starts_with('/') {
            // The ends of its segments, as far down as there are routes.
            let ends = path.match_indices('/').skip(1).map(|(at, _)| at);
            let mut ends: Vec<usize> = ends.take(self.deepest).collect();
            if ends.len() < self.deepest {
                ends.push(path.len());
            }
            let found = ends.iter().rev().find_map(|end| self.by_prefix.get(&path[..*end]));
            if found.is_some() {
                return found;
            }
        }
        self.root.as_ref()
    }
}

/// A host without its port and without the dot that may end it.
fn without_port(host: &str) -> &str {
    let host = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    host.strip_suffix('.').unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(routes: &[(&str, &str)]) -> RouteTable {
        let mut table = RouteTable::default();
        for (host, path) in routes {
            let (host, path) = (
                Some(*host).filter(|host| !host.is_empty()),
                Some(*path).filter(|path| !path.is_empty()),
            );
            let name = format!("{}{}", host.unwrap_or_default(), path.unwrap_or_default());
            let (host, path) = (
                host.map(|host| host.parse().unwrap()),
                path.map(|path| path.parse().unwrap()),
            );
            table.insert(host.as_ref(), path.as_ref(), Arc::new(Route::named(&name)));
        }
        table
    }

    #[test]
    fn the_most_specific_route_wins() {
        let table = table(&[
            ("", ""),
            ("", "/static"),
            ("chat.test", ""),
            ("chat.test", "/socket.io/"),
            ("chat.test", "/socket.io/admin"),
            ("*.test", ""),
            ("*.deep.test", "/only"),
        ]);
        let name = |host, path| table.find(host, path).map(|route| route.name.as_str());
        for (host, path, expected) in [
            ("other", "/", ""),
            ("other", "/static/a.js", "/static"),
            ("other", "/static", "/static"),
            ("other", "/staticky", ""),
            ("chat.test", "/", "chat.test"),
            ("CHAT.test:8443", "/x", "chat.test"),
            ("chat.test.", "/socket.io", "chat.test/socket.io/"),
            ("chat.test", "/socket.io/?EIO=4", "chat.test/socket.io/"),
            ("chat.test", "/socket.io/admin/x", "chat.test/socket.io/admin"),
            ("chat.test", "/socket.io/administrator", "chat.test/socket.io/"),
            ("chat.test", "/%73ocket.io/a", "chat.test/socket.io/"),
            ("chat.test", "/x/../socket.io/a", "chat.test/socket.io/"),
            ("a.test", "/static", "*.test"),
            ("a.b.test", "/", "*.test"),
            ("a.deep.test", "/only/x", "*.deep.test/only"),
            ("a.deep.test", "/else", "*.test"),
            ("test", "/", ""),
            ("[::1]:8443", "/", ""),
        ] {
            assert_eq!(name(host, path), Ok(expected), "{host} {path}");
        }
    }

    #[test]
    fn a_request_without_a_route_is_told_why() {
        let table = table(&[("a.test", "/api"), ("a.test", "/admin"), ("*.b.test", "/api")]);
        let name = |host, path| table.find(host, path).map(|route| route.name.as_str());
        assert_eq!(name("a.test", "/"), Err(NoRoute::Path));
        assert_eq!(name("a.test", "*"), Err(NoRoute::Path));
        assert_eq!(name("c.test", "/api"), Err(NoRoute::Host));
        assert_eq!(name("b.test", "/api"), Err(NoRoute::Host));
        assert_eq!(name("", "/api"), Err(NoRoute::Host));
        assert_eq!(name("a.test", "/api/..%2fadmin"), Err(NoRoute::Ambiguous));
        assert_eq!(name("a.test", "/api%2Fx"), Err(NoRoute::Ambiguous));
        assert_eq!(name("a.test", "//admin"), Err(NoRoute::Ambiguous));
        assert_eq!(name("a.test", "/api/a%2Fb"), Ok("a.test/api"));
        assert_eq!(name("a.test", "/api/../.."), Err(NoRoute::AboveRoot));
    }

    #[test]
    fn one_route_for_everything_takes_any_path() {
        let table = table(&[("", "")]);
        for path in ["/", "*", "/a%2F..%2F..", "//", "/../.."] {
            assert_eq!(
                table.find("any", path).map(|route| route.name.as_str()),
                Ok(""),
                "{path}"
            );
        }
    }
}
