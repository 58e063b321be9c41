//! Upstreams: which server gets a request, and what becomes of those that fail.

use std::collections::HashMap;

use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;

use crate::support::client::upgrade_request;
use crate::support::{Client, EMPTY_200, Origin, Proxy, eventually, get, named, soon, status};

fn servers(origins: &[&Origin]) -> String {
    let urls: Vec<String> = origins
        .iter()
        .map(|origin| format!("\"http://{}\"", origin.address))
        .collect();
    format!("servers = [{}]\n", urls.join(", "))
}

fn upstream(origins: &[&Origin], keys: &str) -> String {
    format!("[upstream]\n{}{keys}", servers(origins))
}

/// Takes a request and hangs up.
async fn breaking() -> Origin {
    Origin::scripted(|mut connection| async move {
        connection.request_or_end().await;
    })
    .await
}

/// The value of the series of this name and labels.
async fn series(proxy: &Proxy, series: &str) -> usize {
    let (_, text) = proxy.admin("GET", "/metrics", "").await;
    let value = text.lines().find_map(|line| line.strip_prefix(series));
    let value = value.unwrap_or_else(|| panic!("{series} is not in {text}"));
    value.trim().parse().unwrap()
}

const RETRIES: &str = "headpin_upstream_retries_total{upstream=\"default\"}";

/// How often each of `count` requests was answered by whom.
async fn who_answers(client: &mut Client, count: usize) -> HashMap<String, usize> {
    let mut answers = HashMap::new();
    for _ in 0..count {
        let (status, name) = get(client, "a", "/").await;
        assert_eq!(status, 200, "{name}");
        *answers.entry(name).or_default() += 1;
    }
    answers
}

#[tokio::test]
async fn requests_are_spread_by_weight() {
    let (one, two) = (named("one").await, named("two").await);
    let text = format!(
        "[upstream]\nservers = [{{ url = \"http://{}\", weight = 3 }}, \"http://{}\"]\n",
        one.address, two.address
    );
    let proxy = Proxy::with_routes(&text);
    let mut client = proxy.connect().await;
    let answers = who_answers(&mut client, 40).await;
    assert_eq!((answers["one"], answers["two"]), (30, 10));
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn tunnels_count_for_the_fewest_connections() {
    let (one, two) = (named("one").await, named("two").await);
    let proxy = Proxy::with_routes(&upstream(&[&one, &two], "balance = \"least_connections\"\n"));
    let _tunnels = [
        proxy.tunnel("/").await,
        proxy.tunnel("/").await,
        proxy.tunnel("/").await,
    ];
    // Two tunnels on one server: plain requests, one at a time, all go to the other.
    let mut client = proxy.connect().await;
    let answers = who_answers(&mut client, 6).await;
    assert_eq!(answers.len(), 1, "{answers:?}");
    drop((client, _tunnels));
    proxy.stop().await;
}

#[tokio::test]
async fn a_cookie_keeps_a_client_with_its_server_for_polling_and_upgrade() {
    let (one, two) = (named("one").await, named("two").await);
    let proxy = Proxy::with_routes(&upstream(&[&one, &two], "sticky_cookie = \"srv\"\n"));
    let mut client = proxy.connect().await;
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = client.response_head().await;
    let first = client.receive(3).await;
    let cookie = head
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "))
        .expect("a cookie");
    assert!(
        cookie.starts_with("srv=") && cookie.ends_with("; Path=/; HttpOnly; Secure; SameSite=None"),
        "{cookie}"
    );
    let pair = cookie.split(';').next().unwrap();
    for _ in 0..4 {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: x=y; {pair}\r\n\r\n");
        client.send(request.as_bytes()).await;
        let head = client.response_head().await;
        assert!(!head.contains("set-cookie"), "{head}");
        assert_eq!(client.receive(3).await, first);
    }
    let request = upgrade_request("/").replace("\r\n\r\n", &format!("\r\nCookie: {pair}\r\n\r\n"));
    client.send(request.as_bytes()).await;
    client.switched().await;
    let (_, text) = proxy.admin("GET", "/metrics", "").await;
    let address = if first == b"one" { one.address } else { two.address };
    let line = format!("headpin_upstream_tunnels_open{{server=\"http://{address}\",upstream=\"default\"}} 1");
    assert!(text.contains(&line), "{line}: {text}");
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn a_header_or_cookie_chooses_the_same_server_each_time() {
    let origins = [named("one").await, named("two").await, named("three").await];
    let all: Vec<&Origin> = origins.iter().collect();
    let keys = "balance = \"hash\"\nhash_on = \"header:X-User\"\n";
    let proxy = Proxy::with_routes(&upstream(&all, keys));
    let mut client = proxy.connect().await;
    let mut homes = HashMap::new();
    for round in 0..2 {
        for user in 0..12 {
            let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-User: {user}\r\n\r\n");
            client.send(request.as_bytes()).await;
            let (_, name) = status(&mut client).await;
            assert_eq!(
                *homes.entry(user).or_insert_with(|| name.clone()),
                name,
                "round {round}"
            );
        }
    }
    let used: std::collections::HashSet<&String> = homes.values().collect();
    assert!(used.len() > 1, "{homes:?}");
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn a_repeatable_request_goes_to_another_server_when_one_breaks_off() {
    let (broken, well) = (breaking().await, named("well").await);
    let proxy = Proxy::with_routes(&upstream(&[&broken, &well], "eject_after = \"off\"\n"));
    let mut client = proxy.connect().await;
    let answers = who_answers(&mut client, 8).await;
    assert_eq!(answers["well"], 8);
    // A POST may have been carried out.
    let mut statuses = Vec::new();
    for _ in 0..4 {
        client
            .send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            .await;
        statuses.push(status(&mut client).await.0);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 502, 502]);
    assert_eq!(series(&proxy, RETRIES).await, 4);
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn a_silent_server_costs_a_repeatable_request_one_timeout_and_no_error() {
    let silent = Origin::scripted(|mut connection| async move {
        connection.rest().await;
    })
    .await;
    let well = named("well").await;
    let proxy = Proxy::with_routes(&upstream(
        &[&silent, &well],
        "response_timeout = \"50ms\"\ndial_timeout = \"40ms\"\neject_after = 2\n",
    ));
    let mut client = proxy.connect().await;
    let answers = who_answers(&mut client, 12).await;
    assert_eq!(answers["well"], 12);
    let (_, body) = proxy.admin("GET", "/api/upstreams", "").await;
    assert!(
        body.contains("\"state\": \"down\"") || body.contains("\"state\":\"down\""),
        "{body}"
    );
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn a_budget_bounds_the_repetitions() {
    let (one, two) = (breaking().await, breaking().await);
    let proxy = Proxy::with_routes(&upstream(&[&one, &two], "eject_after = \"off\"\nretry_budget = 10\n"));
    let mut client = proxy.connect().await;
    for _ in 0..40 {
        assert_eq!(get(&mut client, "a", "/").await.0, 502);
    }
    // Ten at first, and one for every ten requests.
    let retries = series(&proxy, RETRIES).await;
    assert!((10..=14).contains(&retries), "{retries}");
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn checks_take_a_server_out_of_turn_and_bring_it_back() {
    let (healthy, is_healthy) = tokio::sync::watch::channel(true);
    let sick = Origin::scripted(move |mut connection| {
        let is_healthy = is_healthy.clone();
        async move {
            while let Some(head) = connection.request_or_end().await {
                let is_check = head.starts_with("GET /healthz ");
                let answer = match is_check && !*is_healthy.borrow() {
                    true => "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
                    false => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsick",
                };
                connection.send(answer.as_bytes()).await;
            }
        }
    })
    .await;
    let well = named("well").await;
    let health = "health = { path = \"/healthz\", interval = \"10ms\", fall = 2, rise = 2 }\n";
    let proxy = Proxy::with_routes(&upstream(&[&sick, &well], health));
    let mut client = proxy.connect().await;
    assert_eq!(who_answers(&mut client, 4).await.len(), 2);
    healthy.send(false).unwrap();
    let wait_for = |state: &'static str| {
        let proxy = &proxy;
        async move {
            loop {
                let (_, body) = proxy.admin("GET", "/api/upstreams", "").await;
                let body: serde_json::Value = serde_json::from_str(&body).unwrap();
                let server = &body["upstreams"][0]["servers"][0];
                if server["state"] == state {
                    return server.clone();
                }
            }
        }
    };
    let server = soon("unhealthy", wait_for("unhealthy")).await;
    assert_eq!(server["why"], "its check was answered 503, not 200-399");
    assert_eq!(who_answers(&mut client, 4).await["well"], 4);
    healthy.send(true).unwrap();
    soon("healthy again", wait_for("up")).await;
    assert_eq!(who_answers(&mut client, 4).await.len(), 2);
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn a_full_server_is_waited_for_and_then_refused() {
    let (arrived, mut arrivals) = unbounded_channel();
    let (let_go, go) = tokio::sync::watch::channel(());
    let slow = Origin::scripted(move |mut connection| {
        let (arrived, mut go) = (arrived.clone(), go.clone());
        async move {
            while connection.request_or_end().await.is_some() {
                arrived.send(()).unwrap();
                go.changed().await.unwrap();
                connection.send(EMPTY_200).await;
            }
        }
    })
    .await;
    let text = format!(
        "[upstream]\nservers = [{{ url = \"http://{}\", max_connections = 1 }}]\nqueue = 1\nqueue_timeout = \"20s\"\n",
        slow.address
    );
    let proxy = Proxy::with_routes(&text);
    let (mut first, mut second, mut third) = (proxy.connect().await, proxy.connect().await, proxy.connect().await);
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    first.send(request).await;
    arrivals.recv().await.unwrap();
    second.send(request).await;
    let two = || proxy.metrics.requests_in_flight.get() == 2;
    eventually("the second waits", two).await;
    third.send(request).await;
    let head = third.response_head().await;
    assert!(
        head.starts_with("HTTP/1.1 503") && head.contains("retry-after: 1"),
        "{head}"
    );
    let_go.send(()).unwrap();
    assert_eq!(status(&mut first).await.0, 200);
    arrivals.recv().await.unwrap();
    let_go.send(()).unwrap();
    assert_eq!(status(&mut second).await.0, 200);
    drop((first, second, third));
    proxy.stop().await;
}

#[tokio::test]
async fn a_server_behind_a_unix_socket_answers_requests_and_tunnels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    // A unix socket in front of an origin that listens on a port.
    let inner = named("inner").await;
    let address = inner.address;
    #[allow(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(async move {
        while let Ok((mut here, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut there = tokio::net::TcpStream::connect(address).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
            });
        }
    });
    let proxy = Proxy::with_routes(&format!("[upstream]\nservers = [\"unix:{}\"]\n", path.display()));
    let mut client = proxy.connect().await;
    assert_eq!(get(&mut client, "a", "/").await, (200, "inner".to_owned()));
    let tunnel = proxy.tunnel("/").await;
    drop((client, tunnel));
    proxy.stop().await;
}

#[tokio::test]
async fn an_idle_connection_that_its_server_closes_costs_nobody_an_answer() {
    let closes = Origin::scripted(|mut connection| async move {
        connection.request().await;
        connection.send(EMPTY_200).await;
    })
    .await;
    let proxy = Proxy::with_routes(&upstream(&[&closes], ""));
    let mut client = proxy.connect().await;
    for method in ["GET", "POST", "DELETE", "POST", "POST", "GET"] {
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        client.send(request.as_bytes()).await;
        assert_eq!(status(&mut client).await.0, 200, "{method}");
        // The close has come before the next request.
        eventually("the origin has closed", || {
            proxy.metrics.upstream_connections_open.get() == 0
        })
        .await;
    }
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn connections_are_kept_and_no_more_than_the_config_says() {
    let (accepted, mut connections) = unbounded_channel();
    let counting = Origin::scripted(move |mut connection| {
        accepted.send(()).unwrap();
        async move {
            while connection.request_or_end().await.is_some() {
                connection.send(EMPTY_200).await;
            }
        }
    })
    .await;
    let proxy = Proxy::with_routes(&format!(
        "server.workers = 1\n{}",
        upstream(&[&counting], "pool_max_idle = 1\n")
    ));
    let mut clients = [proxy.connect().await, proxy.connect().await];
    for _ in 0..5 {
        for client in &mut clients {
            assert_eq!(get(client, "a", "/").await.0, 200);
        }
    }
    connections.recv().await.unwrap();
    assert!(
        connections.try_recv().is_err(),
        "requests one after the other need one connection"
    );
    assert_eq!(proxy.metrics.upstream_connections_open.get(), 1);
    drop(clients);
    proxy.stop().await;
}

#[tokio::test]
async fn servers_that_stay_keep_their_statistics_and_tunnels_over_a_reload() {
    let (one, two) = (named("one").await, named("two").await);
    let proxy = Proxy::with_routes(&upstream(&[&one, &two], ""));
    let mut client = proxy.connect().await;
    who_answers(&mut client, 6).await;
    let tunnels = [proxy.tunnel("/").await, proxy.tunnel("/").await];
    proxy
        .reload_routes(&upstream(&[&two], "balance = \"random_two\"\n"))
        .await;
    let (_, body) = proxy.admin("GET", "/api/upstreams", "").await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let servers = body["upstreams"][0]["servers"].as_array().unwrap();
    assert_eq!(servers.len(), 1);
    assert_eq!(
        (&servers[0]["requests"], &servers[0]["tunnels"]),
        (&4.into(), &1.into()),
        "{body}"
    );
    assert_eq!(who_answers(&mut client, 4).await["two"], 4);
    assert_eq!(
        proxy.metrics.tunnels_open.get(),
        2,
        "the other server's tunnel stays as well"
    );
    drop((client, tunnels));
    proxy.stop().await;
}

#[tokio::test]
async fn tunnels_of_a_server_that_goes_are_closed_with_1012_if_the_config_says_so() {
    let (one, two) = (named("one").await, named("two").await);
    let keys = "close_tunnels_of_gone_servers = true\n";
    let proxy = Proxy::with_routes(&upstream(&[&one, &two], keys));
    let (mut first, mut second) = (proxy.tunnel("/").await, proxy.tunnel("/").await);
    proxy.reload_routes(&upstream(&[&two], keys)).await;
    // Which of them led where, the first frame tells.
    let closed = tokio::select! {
        frame = first.frame() => frame,
        frame = second.frame() => frame,
    };
    assert_eq!(closed, (0x88, vec![0x03, 0xf4]));
    drop((first, second));
    proxy.stop().await;
}

#[tokio::test]
async fn one_bound_holds_for_all_servers_that_are_dialled() {
    // Nobody accepts, and the backlog is full: a connection comes to nothing.
    let mut stuck = Vec::new();
    let mut urls = Vec::new();
    for _ in 0..3 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener: TcpListener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let filler = tokio::net::TcpStream::connect(address).await.unwrap();
        urls.push(format!("\"http://{address}\""));
        stuck.push((listener, filler));
    }
    let text = format!(
        "[upstream]\nservers = [{}]\nconnect_timeout = \"10m\"\ndial_timeout = \"200ms\"\n",
        urls.join(", ")
    );
    let proxy = Proxy::with_routes(&text);
    let mut client = proxy.connect().await;
    // Within the patience of a test, where each server alone would have ten minutes.
    assert_eq!(get(&mut client, "a", "/").await.0, 504);
    drop((client, stuck));
    proxy.stop().await;
}

#[tokio::test]
async fn without_another_server_nothing_is_repeated_or_counted_as_such() {
    let broken = breaking().await;
    let proxy = Proxy::with_routes(&upstream(&[&broken], ""));
    let mut client = proxy.connect().await;
    for _ in 0..3 {
        assert_eq!(get(&mut client, "a", "/").await.0, 502);
    }
    assert_eq!(series(&proxy, RETRIES).await, 0);
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn a_response_that_cannot_be_used_is_its_servers_failure() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ] {
        let origin = Origin::scripted(move |mut connection| async move {
            while connection.request_or_end().await.is_some() {
                connection.send(answer.as_bytes()).await;
            }
        })
        .await;
        let proxy = Proxy::with_routes(&upstream(&[&origin], ""));
        let mut client = proxy.connect().await;
        assert_eq!(get(&mut client, "a", "/").await.0, 502, "{answer}");
        let of_all = "headpin_upstream_failures_total{cause=\"protocol\"}";
        let of_server = format!(
            "headpin_upstream_server_failures_total{{server=\"http://{}\",upstream=\"default\"}}",
            origin.address
        );
        assert_eq!(series(&proxy, of_all).await, 1, "{answer}");
        assert_eq!(series(&proxy, &of_server).await, 1, "{answer}");
        drop(client);
        proxy.stop().await;
    }
}
