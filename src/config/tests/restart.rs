//! Which changes wait for a restart.

use std::num::NonZeroUsize;

use crate::config::{ByteSize, Config, LogFormat};
use crate::observe::labels::{HeadPolicy, RelayPolicy};

#[test]
fn what_a_reload_can_change_needs_no_restart() {
    let old = Config::default();
    let mut new = old.clone();
    new.head_policy = HeadPolicy::Pin;
    new.server.keepalive = None;
    new.tunnel.idle_timeout = None;
    new.upstream.pool_max_idle = 0;
    assert!(old.needs_restart(&new).is_empty());
}

#[test]
fn every_key_that_needs_a_restart_is_named() {
    let old = Config::default();
    let mut new = old.clone();
    new.relay_policy = RelayPolicy::Queue;
    new.server.listen.set_port(1);
    new.server.workers = NonZeroUsize::MAX;
    new.server.max_connections = Some(NonZeroUsize::MIN);
    new.http.max_requests = NonZeroUsize::MIN;
    new.tunnel.relay_buffer = ByteSize::kib(8);
    new.slabs.spares = 9;
    new.slabs.tls_capacity = ByteSize::mib(1);
    new.slabs.tcp_capacity = ByteSize::mib(2);
    new.admin.listen.set_port(1);
    new.admin.hosts.push("headpin".parse().unwrap());
    new.log.format = LogFormat::Json;
    new.log.filter = "debug".to_owned();
    new.log.access = false;
    let keys = [
        "relay_policy",
        "server.listen",
        "server.workers",
        "server.max_connections",
        "http.max_requests",
        "tunnel.relay_buffer",
        "slabs.tls_capacity",
        "slabs.tcp_capacity",
        "slabs.spares",
        "admin.listen",
        "admin.hosts",
        "log.format",
        "log.filter",
        "log.access",
    ];
    assert_eq!(old.needs_restart(&new), keys);
}
