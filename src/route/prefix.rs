//! What the path of a request becomes for its upstream.

use http::uri::PathAndQuery;

use super::Route;
use super::path::NormalPath;

/// The prefix of a path cannot be told from the rest, as servers differ in what they take it for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the path is ambiguous, so its prefix cannot be replaced")]
pub struct AmbiguousPrefix;

impl Route {
    /// The path and query that go to the upstream: as they came, or with another prefix in front of the path's normal form.
    ///
    /// # Errors
    /// When servers differ in where the prefix ends.
    pub fn target(&self, target: PathAndQuery) -> Result<PathAndQuery, AmbiguousPrefix> {
        let Some((from, to)) = &self.replace_prefix else {
            return Ok(target);
        };
        let normal = NormalPath::of(target.path()).map_err(|_| AmbiguousPrefix)?;
        let rest = normal.strict.strip_prefix(from.trimmed()).ok_or(AmbiguousPrefix)?;
        if !rest.is_empty() && !rest.starts_with('/') {
            return Err(AmbiguousPrefix);
        }
        // What follows the prefix must not end it again, for a server that takes more for a slash.
        if normal.lax.as_ref().is_some_and(|lax| !lax.starts_with(from.trimmed())) {
            return Err(AmbiguousPrefix);
        }
        let path = match (to.trimmed(), rest) {
            ("", "") => "/".to_owned(),
            (to, "") => to.to_owned(),
            (to, rest) => format!("{to}{rest}"),
        };
        let target = match target.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        PathAndQuery::try_from(target).map_err(|_| AmbiguousPrefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(from: &str, to: &str, target: &str) -> Result<String, AmbiguousPrefix> {
        let mut route = Route::named("test");
        route.replace_prefix = Some((from.parse().unwrap(), to.parse().unwrap()));
        route.target(target.parse().unwrap()).map(|target| target.to_string())
    }

    #[test]
    fn a_prefix_is_taken_away_or_replaced() {
        for (from, to, before, after) in [
            ("/api", "/", "/api", "/"),
            ("/api/", "/", "/api/", "/"),
            ("/api", "/", "/api/x?y=/api", "/x?y=/api"),
            ("/api", "/v2/", "/api/x", "/v2/x"),
            ("/api", "/v2", "/api", "/v2"),
            ("/", "/app", "/x", "/app/x"),
            ("/api", "/", "/%61pi/a%2Fb", "/a%2Fb"),
            ("/api", "/", "/api/a/../b", "/b"),
            ("/api", "/", "/x/../api/b", "/b"),
        ] {
            assert_eq!(target(from, to, before), Ok(after.to_owned()), "{before}");
        }
    }

    #[test]
    fn a_prefix_that_may_end_elsewhere_is_not_replaced() {
        for path in ["/api/..%2Fadmin", "/apix", "/else", "/api/../.."] {
            assert_eq!(target("/api", "/", path), Err(AmbiguousPrefix), "{path}");
        }
    }
}
