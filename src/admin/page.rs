//! The live page: a document, styles and JavaScript modules, embedded as they are.
//!
//! No build step and nothing from outside. What peers choose (paths, addresses) reaches the page as data and is put into
//! it as text; the policy that goes with every answer would stop a script in it all the same.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::problem::problem;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

struct Asset {
    name: &'static str,
    kind: &'static str,
    content: &'static str,
}

macro_rules! assets {
    ($($name:literal $kind:ident),+ $(,)?) => {
        [$(Asset { name: $name, kind: $kind, content: include_str!(concat!("page/", $name)) }),+]
    };
}

/// The document is the first.
static ASSETS: [Asset; 19] = assets![
    "index.html" HTML,
    "icon.svg" SVG,
    "base.css" CSS,
    "layout.css" CSS,
    "views.css" CSS,
    "chart.js" JS,
    "detail.js" JS,
    "dom.js" JS,
    "drain.js" JS,
    "figures.js" JS,
    "format.js" JS,
    "link.js" JS,
    "main.js" JS,
    "map.js" JS,
    "model.js" JS,
    "policy.js" JS,
    "route.js" JS,
    "table.js" JS,
    "upstreams.js" JS,
];

/// Changes with any of the files, hence with the version: a page is never made of two.
static TAG: LazyLock<HeaderValue> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    for asset in &ASSETS {
        asset.content.hash(&mut hasher);
    }
    let tag = format!("\"{:016x}\"", hasher.finish());
    HeaderValue::try_from(tag).expect("hexadecimal digits in quotes are a header value")
});

/// On every answer of the admin server. Only the page's own files are loaded, no text becomes a script or markup,
/// nobody frames the page, no answer is taken for another type, read by another site, or kept.
const HARDENING: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Adds what is not there yet of [`HARDENING`].
pub(super) async fn harden(mut response: Response) -> Response {
    for (name, value) in HARDENING {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Whether the client takes HTML by name, as browsers do and curl's `*/*` does not.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    accepted.flat_map(|list| list.split(',')).any(|range| {
        let kind = range.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("text/html")
    })
}

/// The document.
pub(super) fn document(headers: &HeaderMap) -> Response {
    answer(&ASSETS[0], headers)
}

/// One of the files that the document names.
pub(super) async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) => answer(asset, &headers),
        None => problem(
            StatusCode::NOT_FOUND,
            format!("the live page has no file {name}; it is at /"),
        ),
    }
}

fn answer(asset: &Asset, headers: &HeaderMap) -> Response {
    // Kept by the browser, and asked for again each time: a proxy of another version may answer next.
    let about = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::ETAG, TAG.clone()),
        (header::VARY, HeaderValue::from_static("Accept")),
    ];
    if headers.get(header::IF_NONE_MATCH) == Some(&*TAG) {
        return (StatusCode::NOT_MODIFIED, about).into_response();
    }
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind))];
    (about, kind, asset.content).into_response()
}
