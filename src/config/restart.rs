//! Which changes only a restart brings into effect.

use super::{AdminConfig, Config, HttpConfig, LogConfig, ServerConfig, SlabsConfig, TunnelConfig};

impl Config {
    /// The dotted keys that differ in `new` and only take effect at start; a reload should name them.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        // Every field is named, so that whoever adds one must decide here.
        let Self {
            head_policy: _,
            relay_policy,
            server,
            tls: _,
            http,
            tunnel,
            slabs,
            upstream: _,
            admin,
            log,
        } = self;
        let ServerConfig {
            listen,
            workers,
            max_connections,
            drain_grace: _,
            keepalive: _,
        } = server;
        let SlabsConfig {
            tls_capacity,
            tcp_capacity,
            spares,
        } = slabs;
        let HttpConfig {
            header_timeout: _,
            body_timeout: _,
            max_header_bytes: _,
            max_requests,
            forwarded: _,
        } = http;
        let TunnelConfig {
            idle_timeout: _,
            relay_buffer,
        } = tunnel;
        let AdminConfig {
            listen: admin_listen,
            hosts,
            dump_timeout,
        } = admin;
        let LogConfig { format, filter, access } = log;
        let differs = [
            ("relay_policy", *relay_policy != new.relay_policy),
            ("server.listen", *listen != new.server.listen),
            ("server.workers", *workers != new.server.workers),
            ("server.max_connections", *max_connections != new.server.max_connections),
            ("http.max_requests", *max_requests != new.http.max_requests),
            ("tunnel.relay_buffer", *relay_buffer != new.tunnel.relay_buffer),
            ("slabs.spares", *spares != new.slabs.spares),
            ("slabs.tls_capacity", *tls_capacity != new.slabs.tls_capacity),
            ("slabs.tcp_capacity", *tcp_capacity != new.slabs.tcp_capacity),
            ("admin.listen", *admin_listen != new.admin.listen),
            ("admin.hosts", *hosts != new.admin.hosts),
            ("admin.dump_timeout", *dump_timeout != new.admin.dump_timeout),
            ("log.format", *format != new.log.format),
            ("log.filter", *filter != new.log.filter),
            ("log.access", *access != new.log.access),
        ];
        differs
            .into_iter()
            .filter_map(|(key, differs)| differs.then_some(key))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::config::{ByteSize, LogFormat};
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
            "slabs.spares",
            "slabs.tls_capacity",
            "slabs.tcp_capacity",
            "admin.listen",
            "admin.hosts",
            "log.format",
            "log.filter",
            "log.access",
        ];
        assert_eq!(old.needs_restart(&new), keys);
    }
}
