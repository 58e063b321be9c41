//! The cookie that brings a client's next requests to the same server.

use http::HeaderValue;
use http::header::{HeaderMap, SET_COOKIE};

use crate::upstream::{Plan, Server, Upstream};

/// Adds the cookie for `server` to the headers of a response, unless the request of `plan` had it.
///
/// It ends with the browser's session. Pages of other sites may send it, as they may open WebSockets, and it says nothing
/// about a user.
pub(crate) fn issue(headers: &mut HeaderMap, upstream: &Upstream, plan: &Plan, server: &Server) {
    let Some(name) = &upstream.config.sticky_cookie else {
        return;
    };
    if plan.tag.as_ref() == Some(&server.tag) {
        return;
    }
    let cookie = format!("{name}={}; Path=/; HttpOnly; Secure; SameSite=None", server.tag);
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        headers.append(SET_COOKIE, cookie);
    }
}
