//! What only shows when several keys are known: routes to upstreams that are not there, two routes for the same requests.

use std::collections::HashMap;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use headpin_settings::{NamedFiles, Sources};

use super::route::REDIRECTS;
use super::{Config, DEFAULT, Place, RouteConfig, UpstreamConfig};

/// Adds a fault to `sources` for each combination of keys that does not go together.
pub(super) fn check(config: &Config, named_files: NamedFiles, sources: &Sources<'_>) {
    check_upstreams(config, named_files, sources);
    let mut hosts_and_paths = HashMap::new();
    let mut names = HashMap::new();
    for (index, route) in config.routes.iter().enumerate() {
        let key = |name: &str| format!("routes[{index}].{name}");
        let whole = format!("routes[{index}]");
        check_action(config, route, &key, &whole, sources);
        let takes = (
            route.host.clone(),
            route.path.as_ref().map_or("", |path| path.trimmed()).to_owned(),
        );
        if let Some(first) = hosts_and_paths.insert(takes, index) {
            let problem = format!("accepted is one route for a host and a path; routes[{first}] is for the same");
            refuse_written(sources, &[key("path"), key("host")], &whole, problem);
        } else if let Some(first) = names.insert(route.name(), index) {
            let problem = format!(
                "accepted is each name once; routes[{first}] is called {:?} as well: give one of them another name",
                route.name()
            );
            refuse_written(sources, &[key("name")], &whole, problem);
        }
    }
}

/// Blames the first of `keys` that the file has, or else the `whole` table: that one may have other faults, which hide nothing.
fn refuse_written(sources: &Sources<'_>, keys: &[String], whole: &str, problem: String) {
    match keys.iter().find(|key| sources.has(key)) {
        Some(key) => sources.refuse_together(&[key], problem),
        None => sources.refuse_together(&[whole], problem),
    }
}

/// A route has one of three actions, and only keys that mean something with it.
fn check_action(
    config: &Config,
    route: &RouteConfig,
    key: &dyn Fn(&str) -> String,
    whole: &str,
    sources: &Sources<'_>,
) {
    let actions = [
        ("upstream", route.upstream.is_some()),
        ("respond", route.respond.is_some()),
        ("redirect", route.redirect.is_some()),
    ];
    let given: Vec<String> = actions
        .iter()
        .filter(|(_, given)| *given)
        .map(|(name, _)| key(name))
        .collect();
    if given.len() != 1 {
        let problem = match given.is_empty() {
            true => format!("missing; add to {whole} one of upstream = \"NAME\", respond and redirect"),
            false => "accepted is one of upstream, respond and redirect".to_owned(),
        };
        let keys: Vec<&str> = given.iter().skip(1).map(String::as_str).chain([whole]).collect();
        return sources.refuse_together(&keys, problem);
    }
    if let Some(redirect) = &route.redirect
        && !REDIRECTS.contains(&redirect.status)
    {
        let problem = format!("accepted is one of {REDIRECTS:?}");
        sources.refuse_together(&[&key("redirect.status")], problem);
    }
    if let Some(name) = &route.upstream {
        let known: Vec<&str> = config.all_upstreams().map(|(name, _)| name).collect();
        if !known.contains(&name.as_str()) {
            let known = match known.is_empty() {
                true => "there is none: add [upstreams.NAME]".to_owned(),
                false => format!("the names here: {}", known.join(", ")),
            };
            let problem = format!("accepted is the name of an upstream; {known}");
            sources.refuse_together(&[&key("upstream")], problem);
        }
        return;
    }
    let forwards = [
        ("replace_prefix", route.replace_prefix.is_some()),
        ("head_policy", route.head_policy.is_some()),
        ("response_timeout", route.response_timeout.is_some()),
        ("idle_timeout", route.idle_timeout.is_some()),
        ("upgrades", route.upgrades.is_some()),
        ("origins", route.origins.is_some()),
        ("forwarded", route.forwarded.is_some()),
        ("request_headers", route.request_headers.is_some()),
    ];
    for (name, _) in forwards.iter().filter(|(_, given)| *given) {
        let problem = format!("accepted is {name} on a route to an upstream; this one answers by itself");
        sources.refuse_together(&[&key(name)], problem);
    }
}

fn check_upstreams(config: &Config, named_files: NamedFiles, sources: &Sources<'_>) {
    if config.all_upstreams().next().is_none() && config.routes.is_empty() {
        let problem = "missing; add to [upstream], for example: servers = [\"http://127.0.0.1:9001\"]".to_owned();
        sources.refuse_together(&["upstream.servers", "upstream", "upstreams"], problem);
    }
    if config.routes.is_empty()
        && let Some(name) = config.upstreams.keys().next()
    {
        let problem = format!("accepted are upstreams that a route names; add [[routes]] with upstream = {name:?}");
        sources.refuse_together(&["upstreams"], problem);
    }
    if !config.upstream.servers.is_empty() {
        check_upstream("upstream", &config.upstream, named_files, sources);
    }
    for (name, upstream) in &config.upstreams {
        let is_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_good = !name.is_empty() && name.chars().all(is_char);
        let path = format!("upstreams.{name}");
        if !is_good || (name == DEFAULT && !config.upstream.servers.is_empty()) {
            let problem = match is_good {
                true => "accepted is another name: this is what [upstream] is called".to_owned(),
                false => "accepted are names of letters, digits, hyphens, dots and underscores".to_owned(),
            };
            sources.refuse_together(&[&path], problem);
        }
        check_upstream(&path, upstream, named_files, sources);
    }
}

fn check_upstream(path: &str, upstream: &UpstreamConfig, named_files: NamedFiles, sources: &Sources<'_>) {
    let key = |name: &str| format!("{path}.{name}");
    if upstream.client_cert.is_some() != upstream.client_key.is_some() {
        let problem = "accepted are client_cert and client_key together".to_owned();
        sources.refuse_together(&[&key("client_cert"), &key("client_key")], problem);
    }
    if upstream.down_for > upstream.down_for_max {
        let problem = "accepted is down_for_max of at least down_for".to_owned();
        sources.refuse_together(&[&key("down_for_max"), &key("down_for")], problem);
    }
    let mut urls = HashMap::new();
    for (index, server) in upstream.servers.iter().enumerate() {
        let item = format!("{path}.servers[{index}]");
        let url = format!("{item}.url");
        if let Some(first) = urls.insert(&server.url, index) {
            let problem = format!("accepted is each server once; {path}.servers[{first}] is the same");
            sources.refuse_together(&[&url, &item], problem);
        }
        if let Place::Unix(socket) = &server.url.place
            && named_files == NamedFiles::MustOpen
            && is_no_socket(socket)
        {
            let problem = format!(
                "accepted is the path of a unix socket; {} is something else",
                socket.display()
            );
            sources.refuse_together(&[&url, &item], problem);
        }
    }
}

/// A socket that is not there yet may come; a file in its place will not become one.
fn is_no_socket(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| !found.file_type().is_socket())
}
