//! `[[routes]]`: which requests go where, and under which policy.

use std::time::Duration;

use headpin_settings::kind::{
    LONGEST, SHORTEST, any_text, choice, count, duration, flag, inline_table, list, optional, or_off, parsed, size,
    text,
};
use headpin_settings::{ByteSize, settings};

use super::field::{FieldLine, FieldName, FieldValue};
use super::host_pattern::HostPattern;
use super::http::{ForwardedPolicy, PROTOCOL, PROTOCOLS};
use super::origin_pattern::OriginPattern;
use super::path_prefix::PathPrefix;
use super::redirect_target::RedirectTarget;
use super::upgrade_protocol::UpgradeProtocol;
use crate::observe::labels::HeadPolicy;

const HOST: &str = r#"a host such as "chat.example.com" or "*.example.com", without a port"#;
const PATH: &str =
    r#"a path such as "/socket.io/", without a query, with neither dots as a segment nor empty segments in it"#;
const RESPONSE: &str = r#"{ status = 200, body = "ok\n" }"#;
const REDIRECT: &str = r#"{ to = "https://example.com" }"#;
const TARGET: &str = r#"a URL such as "https://example.com", or a path such as "/login""#;
const ORIGIN: &str = r#"an origin such as "https://app.example.com" or "https://*.example.com""#;
const ORIGINS: &str = r#"["https://app.example.com"]"#;
const FIELD: &str = r#"a header field such as "X-Tenant: blue", and not one that frames a message"#;
const FIELDS: &str = r#"["X-Tenant: blue"]"#;
const NAME: &str = r#"the name of a header field such as "Server", and not one that frames a message"#;
const NAMES: &str = r#"["Server"]"#;
const CONTENT_TYPE: &str = r#"a media type such as "application/json""#;
const CHANGES: &str = r#"{ set = ["X-Tenant: blue"], remove = ["Cookie"] }"#;

/// As much as a request's body can say of its length.
const MAX_BODY: ByteSize = ByteSize::mib(1 << 40);

/// RFC 9110 section 15.4: those that send a client elsewhere. After 301, 302 and 303 it may turn POST into GET.
pub(super) const REDIRECTS: [usize; 5] = [301, 302, 303, 307, 308];

settings! {
    /// Requests of a host and below a path, and what becomes of them. The most specific route wins: a host before a wildcard, a
    /// wildcard before none, then the longest path. A request that no route matches is answered 404, or 421 if no route has its host.
    pub struct RouteConfig {
        /// The name in series and in the access log. Left out, it is the host and the path.
        name: Option<String> = optional(text("chat")), left_out(r#""chat""#), at_reload;
        /// The host that requests are for, without a port: exact, or "*." and what it ends with. Left out: any.
        host: Option<HostPattern> = optional(parsed::<HostPattern>(HOST)), left_out(r#""chat.example.com""#), at_reload;
        /// What the path begins with, by whole segments: "/a" has "/a" and "/a/b", and not "/ab". Left out: any. Requests are
        /// matched on the path as a server will understand it, and forwarded as they came.
        path: Option<PathPrefix> = optional(parsed::<PathPrefix>(PATH)), left_out(r#""/socket.io/""#), at_reload;
        /// The name of the upstream that answers; "default" is [upstream]. A route has this, respond or redirect.
        upstream: Option<String> = optional(text("chat")), left_out(r#""chat""#), at_reload;
        /// An answer that headpin gives by itself.
        respond: Option<RespondConfig> = optional(inline_table::<RespondConfig>(RESPONSE)), left_out(RESPONSE), at_reload;
        /// Where clients are sent instead.
        redirect: Option<RedirectConfig> = optional(inline_table::<RedirectConfig>(REDIRECT)), left_out(REDIRECT), at_reload;
        /// What the path's prefix becomes for the upstream: "/" takes it away. Left out: it stays.
        replace_prefix: Option<PathPrefix> = optional(parsed::<PathPrefix>(PATH)), left_out(r#""/""#), at_reload;
        /// The head policy of its tunnels, whatever head_policy says. Left out: as head_policy says.
        head_policy: Option<HeadPolicy> = optional(choice::<HeadPolicy>()), left_out(r#""pin""#), at_reload;
        /// The longest silence before a response's head; then the answer is 504. Left out: the upstream's response_timeout.
        response_timeout: Option<Duration> = optional(duration(SHORTEST..=LONGEST)), left_out(r#""5s""#), at_reload;
        /// The longest pause within a request's body. Left out: http.body_timeout.
        body_timeout: Option<Duration> = optional(duration(SHORTEST..=LONGEST)), left_out(r#""30s""#), at_reload;
        /// Silence after which its tunnels are closed, or "off". Left out: tunnel.idle_timeout.
        idle_timeout: Option<Option<Duration>> = optional(or_off(duration(SHORTEST..=LONGEST))), left_out(r#""5m""#), at_reload;
        /// The largest body of a request, or "off"; a larger one is answered 413.
        max_body: Option<ByteSize> = or_off(size(ByteSize::new(0)..=MAX_BODY)), default(None), at_reload;
        /// Whether requests may become WebSockets. With false, they are forwarded as if they had not asked.
        websocket: bool = flag(), default(true), at_reload;
        /// Protocols other than WebSocket that requests may switch to. Left out: http.upgrades.
        upgrades: Option<Vec<UpgradeProtocol>> = optional(list(parsed::<UpgradeProtocol>(PROTOCOL), PROTOCOLS)), left_out(PROTOCOLS), at_reload;
        /// The origins whose pages may open WebSockets; others are answered 403. A client that is not a browser sends no
        /// Origin, and is let through. Left out: all.
        origins: Option<Vec<OriginPattern>> = optional(list(parsed::<OriginPattern>(ORIGIN), ORIGINS)), left_out(ORIGINS), at_reload;
        /// What becomes of Forwarded and X-Forwarded headers that the client sends. Left out: http.forwarded.
        forwarded: Option<ForwardedPolicy> = optional(choice::<ForwardedPolicy>()), left_out(r#""append""#), at_reload;
        /// Header fields that are set and removed before a request goes to the upstream.
        request_headers: Option<FieldChanges> = optional(inline_table::<FieldChanges>(CHANGES)), left_out(CHANGES), at_reload;
        /// The same for responses on their way to the client.
        response_headers: Option<FieldChanges> = optional(inline_table::<FieldChanges>(CHANGES)), left_out(CHANGES), at_reload;
    }
}

settings! {
    /// An answer that headpin gives by itself.
    pub struct RespondConfig {
        /// The status.
        status: usize = count(200..=599), default(200), at_reload;
        /// The body.
        body: String = any_text(r"ok\n"), default(String::new()), at_reload;
        /// What the body is.
        content_type: FieldValue = parsed::<FieldValue>(CONTENT_TYPE), default(FieldValue::plain_text()), at_reload;
    }
}

settings! {
    /// Where clients are sent.
    pub struct RedirectConfig {
        /// The URL. One that ends with its host is followed by the path and the query of the request.
        to: RedirectTarget = parsed::<RedirectTarget>(TARGET), required(r#""https://example.com""#), at_reload;
        /// The status: 301, 302, 303, 307 or 308. With the last two a client keeps its method.
        status: usize = count(301..=308), default(308), at_reload;
    }
}

settings! {
    /// Changes to the header fields of a message. What is removed is removed first.
    pub struct FieldChanges {
        /// Fields that the message then has, in the place of any of that name.
        set: Vec<FieldLine> = list(parsed::<FieldLine>(FIELD), FIELDS), default(Vec::new()), at_reload;
        /// Names of fields that it then does not have.
        remove: Vec<FieldName> = list(parsed::<FieldName>(NAME), NAMES), default(Vec::new()), at_reload;
    }
}

impl RouteConfig {
    /// What it is called in series and in the log.
    #[must_use]
    pub fn name(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let host = self.host.as_ref().map(ToString::to_string).unwrap_or_default();
        let path = self.path.as_ref().map(ToString::to_string).unwrap_or_default();
        match host + &path {
            neither if neither.is_empty() => super::DEFAULT.to_owned(),
            name => name,
        }
    }
}
