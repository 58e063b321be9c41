//! The admin endpoints.

use headpin::labels::{HeadPolicy, ReloadResult};
use serde_json::Value;

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
    assert_eq!(live, proxy.metrics.slabs_live[headpin::labels::SlabClass::Tls].get());
    drop(pinning);
    crate::support::proxy::all_gone(&proxy.metrics).await;
    // The slab that was pinned is kept for the next one, live and told apart from those in use, until the traffic pauses.
    crate::support::eventually("the slabs given back after the traffic", || {
        headpin::labels::SlabClass::ALL
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
    assert_eq!(proxy.admin("POST", "/api/head_policy", "").await.0, 405);
    assert_eq!(proxy.admin("GET", "/api/nothing", "").await.0, 404);
    let (status, policy) = proxy.admin("GET", "/api/head_policy", "").await;
    assert_eq!(
        (status, json(&policy)),
        (200, serde_json::json!({ "head_policy": "copy" }))
    );
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
