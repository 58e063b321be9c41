//! The admin endpoints.

use headpin::observe::labels::{HeadPolicy, ReloadResult};
use serde_json::Value;

use crate::support::events::Events;
use crate::support::{Origin, Proxy};

const SETTINGS: &str = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[slabs]\ntls_capacity = \"64KiB\"";

fn json(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

#[tokio::test]
async fn slabs_and_connections_point_at_one_another() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Pin, SETTINGS);
    let mut pinning = proxy.tunnel("/echo").await;
    // Two slabs' worth of bytes.
    for _ in 0..16 {
        pinning.echo(&[1; 8 * 1024]).await;
    }
    let slabs = json(&proxy.admin("GET", "/api/slabs", "").await.1);
    let connections = json(&proxy.admin("GET", "/api/connections", "").await.1);
    let connection = &connections["connections"][0];
    assert_eq!(connection["phase"], "tunnel");
    assert_eq!(connection["path"], "/echo");
    assert_eq!(connection["to_upstream_frames"], 16);
    let head = connection["heads"]
        .as_array()
        .unwrap()
        .iter()
        .find(|head| head["side"] == "downstream")
        .unwrap();
    let slabs = slabs["slabs"].as_array().unwrap();
    let pinned = slabs.iter().find(|slab| slab["id"] == head["slab"]).unwrap();
    assert_eq!(pinned["state"], "retired");
    assert_eq!(pinned["pinned_by"], serde_json::json!([connection["id"]]));
    let live = slabs.iter().filter(|slab| slab["class"] == "tls").count() as i64;
    assert_eq!(
        live,
        proxy.metrics.slabs_live[headpin::observe::labels::SlabClass::Tls].get()
    );
    drop(pinning);
    crate::support::proxy::all_gone(&proxy.metrics).await;
    // The slab that was pinned is kept for the next one, live and told apart from those in use, until the traffic pauses.
    crate::support::eventually("the slabs given back after the traffic", || {
        headpin::observe::labels::SlabClass::ALL
            .iter()
            .all(|class| proxy.metrics.slabs_live[*class].get() <= 1)
    })
    .await;
    let slabs = json(&proxy.admin("GET", "/api/slabs", "").await.1);
    assert_eq!(slabs["spares"], 0);
    proxy.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, SETTINGS);
    for body in [
        "",
        "pin",
        "{}",
        r#"{"head_policy": "pinned"}"#,
        r#"{"head_policy": "pin", "for": 3}"#,
    ] {
        let (status, answer) = proxy.admin("PUT", "/api/head_policy", body).await;
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(
            json(&answer)["error"]
                .as_str()
                .unwrap()
                .contains(r#"{"head_policy": "copy"}"#),
            "{answer}"
        );
    }
    let (status, answer) = proxy.admin("PUT", "/api/head_policy", &" ".repeat(5000)).await;
    assert_eq!(status, 413, "{answer}");
    let error = json(&answer)["error"].as_str().unwrap().to_owned();
    assert!(
        error.contains("4096 bytes") && error.contains(r#"{"head_policy": "copy"}"#),
        "{error}"
    );
    for (method, path) in [
        ("POST", "/api/head_policy"),
        ("GET", "/api/drain"),
        ("GET", "/api/reload"),
        ("DELETE", "/api/slabs"),
        ("POST", "/metrics"),
        ("PUT", "/"),
    ] {
        let (status, answer) = proxy.admin(method, path, "").await;
        assert_eq!(status, 405, "{method} {path}: {answer}");
        assert!(json(&answer)["error"].as_str().unwrap().contains(method), "{answer}");
    }
    let (status, answer) = proxy.admin("GET", "/api/nothing", "").await;
    assert_eq!(status, 404);
    assert!(
        json(&answer)["error"].as_str().unwrap().contains("/api/nothing"),
        "{answer}"
    );
    let (status, policy) = proxy.admin("GET", "/api/head_policy", "").await;
    assert_eq!(
        (status, json(&policy)),
        (200, serde_json::json!({ "head_policy": "copy" }))
    );
    proxy.stop().await;
}

/// A browser asks for HTML by name, curl does not.
#[tokio::test]
async fn a_browser_gets_the_page_and_others_the_list() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, SETTINGS);
    let host = format!("Host: {}", proxy.admin);
    let browser = format!("{host}\r\nAccept: text/html,application/xhtml+xml,*/*;q=0.8");
    let page = proxy.admin_with("GET", "/", &browser, "").await;
    assert_eq!(page.status, 200);
    for header in [
        "content-type: text/html; charset=utf-8",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-cache",
        "vary: accept",
    ] {
        assert!(
            page.head.to_lowercase().contains(header),
            "{header} is missing in {}",
            page.head
        );
    }
    let policy = page
        .head
        .lines()
        .find_map(|line| line.strip_prefix("content-security-policy: "))
        .unwrap();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );

    // Whatever it names is there, and is asked for again only if it has changed.
    let named: Vec<&str> = page.body.split('"').filter(|text| text.starts_with("page/")).collect();
    assert!(named.len() >= 4, "{named:?}");
    for name in named {
        let file = proxy.admin_with("GET", &format!("/{name}"), &host, "").await;
        assert_eq!(file.status, 200, "{name}");
        let tag = file.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
        let known = format!("{host}\r\nIf-None-Match: {tag}");
        assert_eq!(
            proxy.admin_with("GET", &format!("/{name}"), &known, "").await.status,
            304,
            "{name}"
        );
    }
    let (status, answer) = proxy.admin("GET", "/page/nothing.js", "").await;
    assert_eq!(status, 404);
    assert!(
        json(&answer)["error"].as_str().unwrap().contains("nothing.js"),
        "{answer}"
    );

    for accept in ["", "\r\nAccept: */*"] {
        let list = proxy.admin_with("GET", "/", &format!("{host}{accept}"), "").await;
        assert!(
            list.head.contains("text/plain") && list.head.contains("no-store"),
            "{}",
            list.head
        );
        assert!(list.body.contains("/api/events"), "{}", list.body);
    }
    proxy.stop().await;
}

/// The first frame is the whole picture, the next ones are what has changed.
#[tokio::test]
async fn events_tell_the_picture_and_then_its_changes() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Pin, SETTINGS);
    let mut tunnel = proxy.tunnel("/echo").await;
    let mut events = Events::follow(&proxy).await;
    let first = events.next().await;
    assert_eq!(first["whole"], true);
    assert_eq!(first["figures"]["head_policy"], "pin");
    let parts = first["figures"]["memory"]["parts"].as_object().unwrap();
    let sum: u64 = parts.values().map(|part| part.as_u64().unwrap()).sum();
    assert_eq!(first["figures"]["memory"]["resident_bytes"], sum);
    let row = &first["connections"]["set"][0];
    assert_eq!((&row[3], &row[5]), (&"tunnel".into(), &"/echo".into()));
    let slab = &row[11][0][1];
    assert!(
        first["slabs"]["set"]
            .as_array()
            .unwrap()
            .iter()
            .any(|each| each["id"] == *slab),
        "{first}"
    );

    tunnel.echo(b"something").await;
    let moved = events.find(|frame| frame["connections"]["moved"][0][0] == row[0]).await;
    assert_eq!(moved["whole"], false);
    assert_eq!(moved["connections"]["set"], serde_json::json!([]));
    drop(tunnel);
    events
        .find(|frame| frame["connections"]["gone"] == serde_json::json!([row[0]]))
        .await;
    crate::support::proxy::all_gone(&proxy.metrics).await;
    drop(events);
    proxy.stop().await;
}

#[tokio::test]
async fn events_have_a_bounded_number_of_viewers() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, SETTINGS);
    let mut viewers = Vec::new();
    for _ in 0..16 {
        viewers.push(Events::follow(&proxy).await);
    }
    for events in &mut viewers {
        assert_eq!(events.next().await["whole"], true);
    }
    let (status, answer) = proxy.admin("GET", "/api/events", "").await;
    assert_eq!(status, 503);
    assert!(
        json(&answer)["error"].as_str().unwrap().contains("16 viewers"),
        "{answer}"
    );
    // All see the same, and one who leaves makes room.
    for events in &mut viewers {
        assert_eq!(events.next().await["whole"], false);
    }
    viewers.pop();
    crate::support::soon("a place", async {
        while !Events::is_there_room(&proxy).await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    drop(viewers);
    proxy.stop().await;
}

/// What a page of others can make a browser send: by a name that resolves here, from another origin, without an origin.
#[tokio::test]
async fn requests_from_elsewhere_are_refused_and_change_nothing() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, SETTINGS);
    let own = proxy.admin;
    let port = own.port();
    let pin = r#"{"head_policy": "pin"}"#;
    for (headers, named) in [
        (format!("Host: evil.example:{port}"), "evil.example"),
        (format!("Host: {own}\r\nOrigin: https://evil.example"), "evil.example"),
        (format!("Host: {own}\r\nOrigin: http://127.0.0.1:1"), "127.0.0.1:1"),
        (format!("Host: {own}\r\nOrigin: null"), "null"),
        (
            format!("Host: {own}\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors"),
            "another site",
        ),
    ] {
        for (method, path) in [
            ("PUT", "/api/head_policy"),
            ("POST", "/api/drain"),
            ("GET", "/api/slabs"),
            ("GET", "/"),
        ] {
            let answer = proxy.admin_with(method, path, &headers, pin).await;
            assert_eq!(answer.status, 403, "{headers}: {method} {path}");
            let error = json(&answer.body)["error"].as_str().unwrap().to_owned();
            assert!(error.contains(named) && error.contains("admin.hosts"), "{error}");
        }
    }
    assert_eq!(proxy.running.policy.get().await, HeadPolicy::Copy);
    assert_eq!(proxy.admin("GET", "/readyz", "").await.0, 200);
    for headers in [
        format!("Host: {own}\r\nOrigin: http://{own}"),
        format!("Host: localhost:{port}\r\nOrigin: http://localhost:{port}"),
        "Host: 192.0.2.1:80".to_owned(),
    ] {
        assert_eq!(
            proxy.admin_with("PUT", "/api/head_policy", &headers, pin).await.status,
            200,
            "{headers}"
        );
    }
    proxy.stop().await;
}

/// As Prometheus and probes ask in a network of containers, by a name that the config does not know.
#[tokio::test]
async fn metrics_and_probes_are_answered_by_every_name() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, SETTINGS);
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(
            proxy.admin_with("GET", path, "Host: headpin:9900", "").await.status,
            200,
            "{path}"
        );
    }
    assert_eq!(
        proxy
            .admin_with("GET", "/api/memory", "Host: headpin:9900", "")
            .await
            .status,
        403
    );
    proxy.stop().await;
}

#[tokio::test]
async fn names_of_the_config_are_answered() {
    let origin = Origin::demo().await;
    let settings =
        format!("{SETTINGS}\n[admin]\nlisten = \"127.0.0.1:0\"\nhosts = [\"headpin\", \"headpin.internal:9900\"]");
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, &settings);
    for (host, expected) in [
        ("headpin", 200),
        ("headpin:1234", 200),
        ("headpin.internal:9900", 200),
        ("headpin.internal:1234", 403),
        ("headpin.example", 403),
    ] {
        let answer = proxy
            .admin_with("GET", "/api/memory", &format!("Host: {host}"), "")
            .await;
        assert_eq!(answer.status, expected, "{host}: {}", answer.body);
    }
    proxy.stop().await;
}

#[tokio::test]
async fn a_reload_changes_the_policy_and_a_bad_file_changes_nothing() {
    let origin = Origin::demo().await;
    let servers = [format!("http://{}", origin.address)];
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, SETTINGS);
    let mut tunnel = proxy.tunnel("/echo").await;
    proxy.write_config(&servers, HeadPolicy::Pin, &SETTINGS.replace("64KiB", "128KiB"));
    let (status, answer) = proxy.admin("POST", "/api/reload", "").await;
    assert_eq!(
        (status, json(&answer)["needs_restart"].clone()),
        (200, serde_json::json!(["slabs.tls_capacity"]))
    );
    assert_eq!(proxy.running.policy.get().await, HeadPolicy::Pin);

    proxy.write_config(&servers, HeadPolicy::Copy, "[server]\nworkers = \"many\"\nlistne = 3");
    let (status, answer) = proxy.admin("POST", "/api/reload", "").await;
    assert_eq!(status, 422);
    let error = json(&answer)["error"].as_str().unwrap().to_owned();
    assert!(
        error.contains("server.workers") && error.contains("listne"),
        "all faults at once: {error}"
    );
    assert_eq!(proxy.running.policy.get().await, HeadPolicy::Pin, "nothing changes");
    let reloads = &proxy.metrics.config_reloads_total;
    assert_eq!(
        (
            reloads[ReloadResult::Applied].get(),
            reloads[ReloadResult::Refused].get()
        ),
        (1, 1)
    );
    assert_eq!(
        proxy.metrics.config_last_reload_successful.get(),
        0,
        "until a file is applied"
    );
    proxy.write_config(&servers, HeadPolicy::Pin, SETTINGS);
    assert_eq!(proxy.admin("POST", "/api/reload", "").await.0, 200);
    assert_eq!(proxy.metrics.config_last_reload_successful.get(), 1);
    tunnel.echo(b"alive").await;
    drop(tunnel);
    crate::support::proxy::all_gone(&proxy.metrics).await;
    proxy.stop().await;
}

#[tokio::test]
async fn every_series_of_the_design_is_scraped() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Pin, SETTINGS);
    let (status, text) = proxy.admin("GET", "/metrics", "").await;
    assert_eq!(status, 200);
    for name in [
        "headpin_slabs_live{class=\"tls\"}",
        "headpin_slab_live_bytes{class=\"tcp\"}",
        "headpin_slabs_pinned{",
        "headpin_slab_pinned_bytes{",
        "headpin_heads_held{",
        "headpin_head_held_bytes{",
        "headpin_slab_carved_bytes_total{",
        "headpin_slabs_created_total{",
        "headpin_slabs_freed_total{",
        "headpin_head_policy{policy=\"pin\"} 1",
        "headpin_head_policy{policy=\"copy\"} 0",
        "headpin_memory_usage_trend_ratio",
        "headpin_kernel_tcp_memory_bytes",
        "headpin_kernel_tcp_sockets",
        "headpin_memory_usage_base_bytes",
        "headpin_memory_usage_min_timestamp_seconds",
        "headpin_memory_usage_max_bytes",
        "headpin_memory_leak_suspected 0",
        "headpin_memory_leak_verdicts_total 0",
        "headpin_memory_bytes{part=\"allocator_slack\"}",
        "headpin_allocator_bytes{kind=\"retained\"}",
        "headpin_slab_used_bytes{class=\"tls\"}",
        "headpin_downstream_connections_open",
        "headpin_tunnels_open",
        "headpin_upgrades_total{",
        "headpin_tls_handshakes_total{",
        "headpin_tunnel_bytes_total{",
        "headpin_tunnel_frames_total{",
        "headpin_tunnels_closed_total{",
        "headpin_upstream_server_up{",
        "headpin_request_seconds_bucket{",
        "headpin_tls_handshake_seconds_bucket{",
        "headpin_build_info{",
        "process_resident_memory_bytes",
    ] {
        assert!(text.contains(name), "{name} is missing in\n{text}");
    }
    proxy.stop().await;
}

#[tokio::test]
async fn the_kernels_memory_of_the_sockets_is_told_on_demand() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, SETTINGS);
    let tunnel = proxy.tunnel("/echo").await;
    let (status, body) = proxy.admin("GET", "/api/memory", "").await;
    let kernel = json(&body)["kernel"].clone();
    assert_eq!((status, &kernel["sockets"]), (200, &Value::Null), "{body}");
    assert!(kernel["tcp_sockets"].as_u64() >= Some(4), "{body}");
    assert!(kernel["tcp_memory_bytes"].is_u64(), "{body}");

    let (status, body) = proxy.admin("GET", "/api/memory?sockets=true", "").await;
    let sockets = json(&body)["kernel"]["sockets"].clone();
    assert_eq!(status, 200, "{body}");
    // Two of the tunnel on each of its sides, and listeners: all are in this process.
    assert!(sockets["count"].as_u64() >= Some(6), "{body}");
    let parts = ["receive", "send", "forward", "option", "backlog"];
    let sum: u64 = parts
        .iter()
        .map(|part| sockets[format!("{part}_bytes")].as_u64().unwrap())
        .sum();
    assert_eq!(sockets["total_bytes"].as_u64(), Some(sum), "{body}");

    let (status, body) = proxy.admin("GET", "/api/memory?per=connection", "").await;
    assert_eq!(status, 200, "{body}");
    // One connection: divided by it, each is what it was, as a float.
    let per = json(&body);
    let sum: f64 = per["parts"]
        .as_object()
        .unwrap()
        .values()
        .map(|part| part.as_f64().unwrap())
        .sum();
    assert!((sum - per["resident_bytes"].as_f64().unwrap()).abs() < 1.0, "{body}");
    assert!(
        per["parts"]["tunnels"].is_f64() && per["connections"]["downstream"] == 1,
        "{body}"
    );

    for query in ["sockets=maybe", "socket=true", "per=tunnel"] {
        let (status, body) = proxy.admin("GET", &format!("/api/memory?{query}"), "").await;
        assert_eq!(status, 400, "{body}");
        assert!(
            json(&body)["error"].as_str().unwrap().contains("?sockets=true"),
            "{body}"
        );
    }
    drop(tunnel);
    crate::support::proxy::all_gone(&proxy.metrics).await;
    proxy.stop().await;
}
