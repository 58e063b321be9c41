//! `/api/upstreams`: how servers are, and taking them out of turn.

use serde_json::Value;

use crate::support::{Proxy, get, named};

async fn report(proxy: &Proxy) -> Value {
    let (status, body) = proxy.admin("GET", "/api/upstreams", "").await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn every_server_is_reported_with_its_state_and_why() {
    let one = named("one").await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let text = format!(
        "[upstream]\nservers = [\"http://{}\", \"http://{free}\", \"http://nowhere.invalid:1\"]\nretries = 0\n",
        one.address
    );
    let proxy = Proxy::with_routes(&text);
    let mut client = proxy.connect().await;
    for _ in 0..3 {
        assert_eq!(get(&mut client, "a", "/").await, (200, "one".to_owned()));
    }
    let report = report(&proxy).await;
    let upstream = &report["upstreams"][0];
    assert_eq!(
        (&upstream["name"], &upstream["balance"]),
        (&"default".into(), &"round_robin".into())
    );
    let servers = upstream["servers"].as_array().unwrap();
    let states: Vec<_> = servers.iter().map(|server| server["state"].as_str().unwrap()).collect();
    assert_eq!(states[0], "up");
    assert_eq!(servers[0]["requests"], 3);
    assert!(servers[0]["latency_seconds"].as_f64().unwrap() > 0.0, "{report}");
    assert_eq!(states[1], "down");
    let why = servers[1]["why"].as_str().unwrap();
    assert!(
        why.starts_with("it cannot be connected to: Connection refused"),
        "{why}"
    );
    assert!(servers[1]["last_failure_seconds_ago"].is_number());
    assert_eq!(states[2], "down", "{report}");
    let why = servers[2]["why"].as_str().unwrap();
    assert!(why.starts_with("its name does not resolve"), "{why}");
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn an_operator_takes_a_server_out_of_turn_and_brings_it_back() {
    let (one, two) = (named("one").await, named("two").await);
    let (first, second) = (format!("http://{}", one.address), format!("http://{}", two.address));
    let proxy = Proxy::with_routes(&format!("[upstream]\nservers = [\"{first}\", \"{second}\"]\n"));
    let mut client = proxy.connect().await;
    let drain = |on: bool| {
        let body = format!("{{\"upstream\": \"default\", \"server\": \"{first}\", \"drain\": {on}}}");
        let proxy = &proxy;
        async move { proxy.admin("PUT", "/api/upstreams", &body).await }
    };
    let (status, body) = drain(true).await;
    assert_eq!(status, 200, "{body}");
    for _ in 0..4 {
        assert_eq!(get(&mut client, "a", "/").await.1, "two");
    }
    assert_eq!(report(&proxy).await["upstreams"][0]["servers"][0]["state"], "draining");
    assert_eq!(drain(false).await.0, 200);
    let answers = [get(&mut client, "a", "/").await.1, get(&mut client, "a", "/").await.1];
    assert!(answers.contains(&"one".to_owned()), "{answers:?}");
    for (body, status, why) in [
        ("{}", 400, "missing field"),
        (
            "{\"upstream\": \"x\", \"server\": \"y\", \"drain\": true}",
            404,
            "there are: default",
        ),
        (
            "{\"upstream\": \"default\", \"server\": \"y\", \"drain\": true}",
            404,
            &*second,
        ),
    ] {
        let (was, text) = proxy.admin("PUT", "/api/upstreams", body).await;
        assert!(was == status && text.contains(why), "{body}: {was} {text}");
    }
    drop(client);
    proxy.stop().await;
}
