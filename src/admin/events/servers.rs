//! What viewers know of upstreams and their servers, and what has changed since.
//!
//! A config has few of them, so they are objects. Of an upstream where only counters have moved, a frame has `[name,
//! ...servers]` with a server as `[requests, failures, in_flight, tunnels, latency_seconds]`, in the order in which the
//! upstream's servers were sent last. `since` and `failed` are Unix times in seconds.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::upstream::{ServerReport, UpstreamReport};

/// Moments that are nearer are the same: they are worked out anew from an age each time.
const SAME_SECONDS: f64 = 0.5;

/// Upstreams as viewers know them.
#[derive(Debug, Default)]
pub(super) struct Servers {
    upstreams: BTreeMap<String, UpstreamReport>,
    /// When that was.
    unix_seconds: f64,
}

impl Servers {
    /// Takes in what is so now; returns what is new in it.
    pub(super) fn look(&mut self, reports: Vec<UpstreamReport>, unix_seconds: f64) -> Value {
        let passed = unix_seconds - self.unix_seconds;
        let named = reports.into_iter().map(|upstream| (upstream.name.clone(), upstream));
        let old = std::mem::replace(&mut self.upstreams, named.collect());
        self.unix_seconds = unix_seconds;
        let mut set = Vec::new();
        let mut moved = Vec::new();
        for upstream in self.upstreams.values() {
            match old.get(&upstream.name).filter(|old| is_same(old, upstream, passed)) {
                None => set.push(self.upstream(upstream)),
                Some(old) if counters(old) != counters(upstream) => moved.push(counters(upstream)),
                Some(_) => {}
            }
        }
        let gone: Vec<&String> = old.keys().filter(|name| !self.upstreams.contains_key(*name)).collect();
        json!({ "set": set, "moved": moved, "gone": gone })
    }

    /// All of it.
    pub(super) fn whole(&self) -> Value {
        let set: Vec<Value> = self.upstreams.values().map(|each| self.upstream(each)).collect();
        json!({ "set": set, "moved": [], "gone": [] })
    }

    fn upstream(&self, upstream: &UpstreamReport) -> Value {
        let servers: Vec<Value> = upstream.servers.iter().map(|server| self.server(server)).collect();
        json!({ "name": upstream.name, "balance": upstream.balance, "servers": servers })
    }

    fn server(&self, server: &ServerReport) -> Value {
        json!({
            "server": server.server,
            "address": server.address,
            "state": server.state,
            "why": server.why,
            "since": self.since(server.since_seconds),
            "requests": server.requests,
            "failures": server.failures,
            "in_flight": server.in_flight,
            "tunnels": server.tunnels,
            "latency_seconds": server.latency_seconds,
            "last_failure": server.last_failure,
            "failed": server.last_failure_seconds_ago.map(|ago| self.since(ago)),
        })
    }

    /// The Unix time, in whole seconds, of what was so many seconds ago.
    fn since(&self, seconds: f64) -> i64 {
        (self.unix_seconds - seconds).round() as i64
    }
}

/// Whether nothing has changed but counters, and ages by the time that has `passed`.
fn is_same(old: &UpstreamReport, new: &UpstreamReport, passed: f64) -> bool {
    let is_same_age = |old: f64, new: f64| (old + passed - new).abs() < SAME_SECONDS;
    let is_same_failure = |old: &ServerReport, new: &ServerReport| {
        let ages = old.last_failure_seconds_ago.zip(new.last_failure_seconds_ago);
        old.last_failure == new.last_failure && ages.is_none_or(|(old, new)| is_same_age(old, new))
    };
    old.balance == new.balance
        && old.servers.len() == new.servers.len()
        && old.servers.iter().zip(&new.servers).all(|(old, new)| {
            facts(old) == facts(new) && is_same_age(old.since_seconds, new.since_seconds) && is_same_failure(old, new)
        })
}

fn facts(server: &ServerReport) -> (&str, &str, &str, Option<&str>) {
    (&server.server, &server.address, server.state, server.why.as_deref())
}

fn counters(upstream: &UpstreamReport) -> Value {
    let servers = upstream.servers.iter().map(|server| {
        json!([
            server.requests,
            server.failures,
            server.in_flight,
            server.tunnels,
            server.latency_seconds
        ])
    });
    std::iter::once(json!(upstream.name)).chain(servers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, since_seconds: f64) -> ServerReport {
        ServerReport {
            server: format!("http://{name}"),
            address: "192.0.2.1:80".to_owned(),
            weight: 1,
            state: "up",
            why: None,
            since_seconds,
            requests: 0,
            failures: 0,
            in_flight: 0,
            tunnels: 0,
            latency_seconds: 0.0,
            last_failure: None,
            last_failure_seconds_ago: None,
        }
    }

    fn upstream(name: &str, servers: Vec<ServerReport>) -> UpstreamReport {
        UpstreamReport {
            name: name.to_owned(),
            balance: "round_robin",
            servers,
        }
    }

    const NOTHING: &str = r#"{"gone":[],"moved":[],"set":[]}"#;

    #[test]
    fn only_what_has_changed_is_told() {
        let mut known = Servers::default();
        let both = |age: f64| vec![upstream("a", vec![server("one", age)]), upstream("b", vec![])];
        let first = known.look(both(0.0), 1000.0);
        assert_eq!(first["set"].as_array().unwrap().len(), 2);
        assert_eq!(first, known.whole());
        // Ages grow, and the clock that they are taken by is not the one of the frame.
        assert_eq!(known.look(both(1.0), 1001.0).to_string(), NOTHING);
        assert_eq!(known.look(both(2.2), 1002.0).to_string(), NOTHING);

        let mut moved = both(3.0);
        moved[0].servers[0].requests = 5;
        let told = known.look(moved, 1003.0);
        assert_eq!(told["set"], json!([]));
        assert_eq!(told["moved"], json!([["a", [5, 0, 0, 0, 0.0]]]));

        let told = known.look(vec![upstream("b", vec![])], 1004.0);
        assert_eq!((&told["set"], &told["gone"]), (&json!([]), &json!(["a"])));
    }

    #[test]
    fn a_change_that_looks_the_same_but_for_when_it_was_is_told() {
        let mut known = Servers::default();
        let failed = |ago: f64, since: f64| {
            let failed = ServerReport {
                last_failure: Some("it answered 503".to_owned()),
                last_failure_seconds_ago: Some(ago),
                ..server("one", since)
            };
            vec![upstream("a", vec![failed])]
        };
        known.look(failed(10.0, 100.0), 1000.0);
        assert_eq!(known.look(failed(11.0, 101.0), 1001.0).to_string(), NOTHING);
        // Failed again, in the same words.
        let told = known.look(failed(0.2, 102.0), 1002.0);
        assert_eq!(told["set"][0]["servers"][0]["failed"], 1002);
        // Away and back between two looks.
        let told = known.look(failed(1.2, 0.1), 1003.0);
        assert_eq!(told["set"][0]["servers"][0]["since"], 1003);
    }
}
