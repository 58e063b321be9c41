//! Routes: which upstream gets a request, and what becomes of it on the way.

use headpin::observe::labels::SlabClass;

use crate::support::client::upgrade_request;
use crate::support::{Client, EMPTY_200, Proxy, eventually, get, named, reporting, soon, status};

fn upstream(name: &str, origin: &crate::support::Origin) -> String {
    format!("[upstreams.{name}]\nservers = [\"http://{}\"]\n", origin.address)
}

/// The head of the answer to an upgrade of `host` at `path`, with further header lines.
async fn ask_for_websocket(client: &mut Client, host: &str, path: &str, lines: &str) -> String {
    let request = upgrade_request(path).replace("Host: localhost\r\n", &format!("Host: {host}\r\n{lines}"));
    client.send(request.as_bytes()).await;
    client.response_head().await
}

#[tokio::test]
async fn the_host_and_the_path_choose_the_upstream() {
    let (one, two, three) = (named("one").await, named("two").await, named("three").await);
    let routes = [
        "[[routes]]\nhost = \"a.test\"\nupstream = \"one\"\n",
        "[[routes]]\nhost = \"a.test\"\npath = \"/api/\"\nupstream = \"two\"\n",
        "[[routes]]\nhost = \"*.b.test\"\nupstream = \"three\"\n",
        &upstream("one", &one),
        &upstream("two", &two),
        &upstream("three", &three),
    ];
    let proxy = Proxy::with_routes(&routes.concat());
    let mut client = proxy.connect().await;
    for (host, target, expected) in [
        ("a.test", "/", "one"),
        ("A.TEST:8443", "/apiary", "one"),
        ("a.test", "/api", "two"),
        ("a.test", "/api/x?y", "two"),
        ("a.test", "/%61pi/x", "two"),
        ("a.test", "/x/../api/", "two"),
        ("a.test", "http://x.b.test/", "three"),
        ("x.y.b.test", "/api", "three"),
    ] {
        assert_eq!(
            get(&mut client, host, target).await,
            (200, expected.to_owned()),
            "{host} {target}"
        );
    }
    for (host, target, expected, why) in [
        ("c.test", "/", 421, "does not serve this host"),
        ("b.test", "/", 421, "does not serve this host"),
        ("a.test", "/api/..%2Fx", 400, "ambiguous"),
        ("a.test", "/../x", 400, "above its root"),
    ] {
        let (status, body) = get(&mut client, host, target).await;
        assert!(
            status == expected && body.contains(why),
            "{host} {target}: {status} {body}"
        );
    }
    let head = ask_for_websocket(&mut client, "c.test", "/", "").await;
    assert!(head.starts_with("HTTP/1.1 421"), "{head}");
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn a_path_without_a_route_is_answered_404() {
    let one = named("one").await;
    let routes = "[[routes]]\npath = \"/only\"\nupstream = \"one\"\n".to_owned() + &upstream("one", &one);
    let proxy = Proxy::with_routes(&routes);
    let mut client = proxy.connect().await;
    let (status, body) = get(&mut client, "any.test", "/else").await;
    assert!(
        status == 404 && body.contains("no route for this path"),
        "{status} {body}"
    );
    assert_eq!(get(&mut client, "any.test", "/only/this").await.1, "one");
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn headers_and_the_prefix_change_as_the_route_says() {
    let (origin, mut seen) = reporting(b"HTTP/1.1 200 OK\r\nServer: secret\r\nContent-Length: 0\r\n\r\n").await;
    let routes = "[[routes]]\npath = \"/api/\"\nreplace_prefix = \"/v2\"\nupstream = \"one\"\n\
                  request_headers = { set = [\"X-Tenant: blue\", \"Host: inner.test\"], remove = [\"Cookie\"] }\n\
                  response_headers = { set = [\"X-Frame-Options: DENY\"], remove = [\"Server\"] }\n"
        .to_owned()
        + &upstream("one", &origin);
    let proxy = Proxy::with_routes(&routes);
    let mut client = proxy.connect().await;
    client
        .send(b"GET /api/a%2Fb?c=/api HTTP/1.1\r\nHost: a.test\r\nCookie: a=b\r\nX-Tenant: red\r\n\r\n")
        .await;
    let head = client.response_head().await.to_lowercase();
    assert!(
        head.contains("x-frame-options: deny") && !head.contains("secret"),
        "{head}"
    );
    let seen = seen.recv().await.unwrap();
    assert!(seen.head.starts_with("GET /v2/a%2Fb?c=/api HTTP/1.1\r\n"), "{seen:?}");
    assert_eq!(
        (
            seen.field("x-tenant"),
            seen.field("cookie"),
            seen.field("host"),
            seen.field("x-forwarded-host")
        ),
        (Some("blue"), None, Some("inner.test"), Some("a.test"))
    );
    let (status, _) = get(&mut client, "a.test", "/api/..%2Fx").await;
    assert_eq!(status, 400);
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn a_route_answers_by_itself_or_sends_elsewhere() {
    let proxy = Proxy::with_routes(
        "[[routes]]\npath = \"/healthz\"\nrespond = { body = \"fine\\n\" }\n\
         [[routes]]\npath = \"/gone\"\nrespond = { status = 410, body = \"{}\", content_type = \"application/json\" }\n\
         [[routes]]\nhost = \"old.test\"\nredirect = { to = \"https://new.test\" }\n\
         [[routes]]\npath = \"/login\"\nredirect = { to = \"/sign-in\", status = 302 }\n",
    );
    let mut client = proxy.connect().await;
    assert_eq!(get(&mut client, "a.test", "/healthz").await, (200, "fine\n".to_owned()));
    client
        .send(b"POST /gone HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx")
        .await;
    let head = client.response_head().await;
    assert!(
        head.starts_with("HTTP/1.1 410") && head.contains("content-type: application/json"),
        "{head}"
    );
    assert_eq!(client.receive(2).await, b"{}");
    for (host, target, status, location) in [
        ("old.test", "/a?b", "308", "https://new.test/a?b"),
        ("a.test", "/login?x", "302", "/sign-in"),
    ] {
        client
            .send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
            .await;
        let head = client.response_head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        assert!(head.contains(&format!("location: {location}\r\n")), "{head}");
    }
    // There is nobody to open a tunnel to.
    let head = ask_for_websocket(&mut client, "a.test", "/healthz", "").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn only_pages_of_the_routes_origins_open_websockets() {
    let one = named("one").await;
    let routes = "[[routes]]\nupstream = \"one\"\norigins = [\"https://app.test\", \"https://*.app.test\"]\n"
        .to_owned()
        + &upstream("one", &one);
    let proxy = Proxy::with_routes(&routes);
    for (origin, status) in [
        ("Origin: https://app.test\r\n", 101),
        ("Origin: https://x.app.test\r\n", 101),
        ("", 101),
        ("Origin: https://evil.test\r\n", 403),
        ("Origin: http://app.test\r\n", 403),
        ("Origin: null\r\n", 403),
    ] {
        let mut client = proxy.connect().await;
        let head = ask_for_websocket(&mut client, "a.test", "/", origin).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{origin} {head}");
    }
    // A page may still load what it likes: that is for CORS to say.
    let mut client = proxy.connect().await;
    client
        .send(b"GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://evil.test\r\n\r\n")
        .await;
    assert_eq!(status(&mut client).await.0, 200);
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn a_body_larger_than_the_route_allows_is_answered_413() {
    let (origin, mut seen) = reporting(EMPTY_200).await;
    let routes = "[[routes]]\nupstream = \"one\"\nmax_body = \"8B\"\n".to_owned() + &upstream("one", &origin);
    let proxy = Proxy::with_routes(&routes);
    for (framing, expected) in [
        ("Content-Length: 8\r\n\r\n12345678", 200),
        ("Transfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n0\r\n\r\n", 200),
        ("Content-Length: 9\r\n\r\n123456789", 413),
        ("Transfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n", 413),
    ] {
        let mut client = proxy.connect().await;
        client
            .send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}").as_bytes())
            .await;
        let (status, body) = status(&mut client).await;
        assert_eq!(status, expected, "{framing:?}");
        match expected {
            200 => assert_eq!(seen.recv().await.unwrap().body, b"12345678"),
            _ => assert!(body.contains("larger than 8 bytes, which is max_body"), "{body}"),
        }
    }
    proxy.stop().await;
}

#[tokio::test]
async fn a_route_without_websockets_forwards_the_request_as_if_it_had_not_asked() {
    let (origin, mut seen) = reporting(EMPTY_200).await;
    let routes = "[[routes]]\nupstream = \"one\"\nwebsocket = false\n".to_owned() + &upstream("one", &origin);
    let proxy = Proxy::with_routes(&routes);
    let mut client = proxy.connect().await;
    let head = ask_for_websocket(&mut client, "a.test", "/", "").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(seen.recv().await.unwrap().field("upgrade"), None);
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn a_route_has_a_head_policy_of_its_own() {
    let one = named("one").await;
    let routes = "head_policy = \"copy\"\n[[routes]]\npath = \"/pin\"\nhead_policy = \"pin\"\nupstream = \"one\"\n\
                  [[routes]]\npath = \"/follow\"\nupstream = \"one\"\n\
                  [[routes]]\npath = \"/copy\"\nhead_policy = \"copy\"\nupstream = \"one\"\n"
        .to_owned()
        + &upstream("one", &one);
    let proxy = Proxy::with_routes(&routes);
    let held = || proxy.metrics.heads_held[SlabClass::Tls].get();
    let pinned = proxy.tunnel("/pin").await;
    eventually("the head is held", || held() == 1).await;
    let copied = proxy.tunnel("/copy").await;
    let follows = proxy.tunnel("/follow").await;
    let three_open = || proxy.metrics.tunnels_open.get() == 3;
    eventually("all are open", three_open).await;
    assert_eq!(held(), 1);
    let switch = async |policy: &str| {
        let body = format!("{{\"head_policy\": \"{policy}\"}}");
        proxy.admin("PUT", "/api/head_policy", &body).await
    };
    assert_eq!(soon("pin", switch("pin")).await.0, 200);
    let later = proxy.tunnel("/follow").await;
    eventually("the head is held", || held() == 2).await;
    // Back to copy: only the head that no route pins is let go.
    let (_, body) = soon("copy", switch("copy")).await;
    assert!(
        body.contains("\"released_heads\":2") || body.contains("\"released_heads\": 2"),
        "{body}"
    );
    assert_eq!(held(), 1);
    drop((pinned, copied, follows, later));
    eventually("all are gone", || held() == 0).await;
    proxy.stop().await;
}

#[tokio::test]
async fn a_reload_changes_routes_and_keeps_the_tunnels_of_those_that_stay() {
    let (one, two) = (named("one").await, named("two").await);
    let both = upstream("one", &one) + &upstream("two", &two);
    let stays = "[[routes]]\npath = \"/stays\"\nupstream = \"one\"\n";
    let goes = "[[routes]]\npath = \"/goes\"\nupstream = \"two\"\n";
    let proxy = Proxy::with_routes(&[stays, goes, &both].concat());
    let (mut staying, mut going) = (proxy.tunnel("/stays").await, proxy.tunnel("/goes").await);
    let moved = "[[routes]]\npath = \"/stays\"\nupstream = \"one\"\nidle_timeout = \"3h\"\n[[routes]]\npath = \"/new\"\nupstream = \"two\"\n";
    proxy.reload_routes(&[moved, &both].concat()).await;
    let mut client = proxy.connect().await;
    assert_eq!(get(&mut client, "a", "/new").await, (200, "two".to_owned()));
    assert_eq!(get(&mut client, "a", "/goes").await.0, 404);
    // Close 1001, as a server sends it.
    assert_eq!(going.frame().await, (0x88, vec![0x03, 0xe9]));
    assert_eq!(
        proxy.metrics.tunnels_open.get(),
        2,
        "the other end has not answered the Close"
    );
    drop(going);
    let only_one = || proxy.metrics.tunnels_open.get() == 1;
    eventually("the tunnel of the gone route has ended", only_one).await;
    staying.send(&crate::support::client::frame(0x82, b"still there")).await;
    drop((client, staying));
    proxy.stop().await;
}

#[tokio::test]
async fn series_and_their_labels_come_from_the_config_only() {
    let one = named("one").await;
    let routes =
        "[[routes]]\nname = \"front\"\npath = \"/a\"\nupstream = \"one\"\n[[routes]]\nhost = \"b.test\"\nrespond = {}\n"
            .to_owned() + &upstream("one", &one);
    let proxy = Proxy::with_routes(&routes);
    let mut client = proxy.connect().await;
    get(&mut client, "x", "/a/secret").await;
    get(&mut client, "b.test", "/").await;
    get(&mut client, "evil", "/nowhere").await;
    let (_, text) = proxy.admin("GET", "/metrics", "").await;
    let server = format!("http://{}", one.address);
    for line in [
        "headpin_route_requests_total{route=\"front\",status=\"2xx\"} 1".to_owned(),
        "headpin_route_requests_total{route=\"b.test\",status=\"2xx\"} 1".to_owned(),
        "headpin_route_request_seconds_count{route=\"front\"} 1".to_owned(),
        format!("headpin_upstream_requests_total{{server=\"{server}\",upstream=\"one\"}} 1"),
        format!("headpin_upstream_server_up{{server=\"{server}\",upstream=\"one\"}} 1"),
    ] {
        assert!(text.contains(&line), "{line} is not in {text}");
    }
    assert!(!text.contains("secret") && !text.contains("evil") && !text.contains("nowhere"));
    drop(client);
    proxy.stop().await;
}

#[tokio::test]
async fn a_reload_from_pin_to_copy_lets_go_of_the_heads_of_open_tunnels() {
    let one = named("one").await;
    let route =
        |policy: &str| format!("[[routes]]\nhead_policy = \"{policy}\"\nupstream = \"one\"\n") + &upstream("one", &one);
    let proxy = Proxy::with_routes(&route("pin"));
    let held = || proxy.metrics.heads_held[SlabClass::Tls].get();
    let mut tunnel = proxy.tunnel("/").await;
    eventually("the head is held", || held() == 1).await;
    proxy.reload_routes(&route("copy")).await;
    eventually("the head is let go", || held() == 0).await;
    tunnel.send(&crate::support::client::frame(0x82, b"still there")).await;
    assert_eq!(proxy.metrics.tunnels_open.get(), 1);
    drop(tunnel);
    proxy.stop().await;
}

#[tokio::test]
async fn a_route_that_goes_in_the_second_of_two_reloads_takes_its_tunnels_along() {
    let one = named("one").await;
    let upstream = upstream("one", &one);
    let both = "[[routes]]\npath = \"/goes\"\nupstream = \"one\"\n[[routes]]\npath = \"/stays\"\nupstream = \"one\"\n";
    let proxy = Proxy::with_routes(&[both, &upstream].concat());
    let mut going = proxy.tunnel("/goes").await;
    proxy
        .reload_routes(&["# the same once more\n", both, &upstream].concat())
        .await;
    let stays = "[[routes]]\npath = \"/stays\"\nupstream = \"one\"\n";
    proxy.reload_routes(&[stays, &upstream].concat()).await;
    assert_eq!(going.frame().await, (0x88, vec![0x03, 0xe9]));
    drop(going);
    proxy.stop().await;
}
