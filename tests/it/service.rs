//! The proxy under a service manager, and asked by a health check: sd_notify(3) on a socket of the test's.

use std::net::TcpListener;

use tokio::net::TcpStream;

use crate::support::service::output;
use crate::support::{Origin, Service};

/// Exit code and everything said by `headpin health` with these arguments.
async fn health(arguments: &[&str]) -> (Option<i32>, String) {
    let output = output(&[&["health"], arguments].concat()).await;
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn ready_is_told_once_both_addresses_take_connections() {
    let origin = Origin::demo().await;
    let service = Service::start(&origin, &[]);
    let told = service.next().await;
    assert_eq!(told.get("READY"), Some("1"));
    let (proxy, admin) = told.addresses();
    TcpStream::connect(admin).await.unwrap();
    service.tunnel(proxy).await.echo(b"through").await;
}

#[tokio::test]
async fn a_reload_is_told_from_its_beginning_to_its_end_also_when_it_fails() {
    let origin = Origin::demo().await;
    let service = Service::start(&origin, &[]);
    let serving = service.next().await.get("STATUS").unwrap().to_owned();
    let reloaded = async || {
        let told = service.next().await;
        assert_eq!(told.get("RELOADING"), Some("1"));
        let since_boot: u64 = told.get("MONOTONIC_USEC").unwrap().parse().unwrap();
        assert!(since_boot > 0);
        let told = service.next().await;
        assert_eq!(told.get("READY"), Some("1"));
        told.get("STATUS").unwrap().to_owned()
    };

    service.signal("HUP").await;
    assert_eq!(reloaded().await, serving);

    service.write_config("workers = \"many\"\nlistne = 3");
    for by_signal in [false, true] {
        if by_signal {
            service.signal("HUP").await;
        }
        let status = reloaded().await;
        assert!(
            status.starts_with(&serving) && status.contains("nothing has changed"),
            "{status}"
        );
        assert!(
            status.contains("server.workers") && status.contains("server.listne"),
            "{status}"
        );
    }

    service.write_config("workers = 3");
    let status = reloaded().await;
    assert_eq!(status, format!("{serving}; a restart is needed for server.workers"));
}

#[tokio::test]
async fn a_drain_is_told_and_asks_for_the_time_it_takes() {
    let origin = Origin::demo().await;
    let service = Service::start(&origin, &[]);
    let (proxy, admin) = service.next().await.addresses();
    let admin = format!("http://{admin}");
    let client = service.tunnel(proxy).await;
    assert_eq!(health(&["--admin", &admin]).await, (Some(0), "ready\n".to_owned()));

    service.signal("TERM").await;
    assert_eq!(service.next_with("STOPPING").await.get("STOPPING"), Some("1"));
    // The client does not answer the Close: the drain waits for it.
    let told = service.next_with("EXTEND_TIMEOUT_USEC").await;
    assert!(told.get("EXTEND_TIMEOUT_USEC").unwrap().parse::<u64>().unwrap() > 1_000_000);
    assert_eq!(told.get("STATUS"), Some("draining, connections open: 1"));
    let (code, said) = health(&["--admin", &admin]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("not ready") && said.contains("draining"), "{said}");

    drop(client);
    assert_eq!(service.ended().await.code(), Some(0));
    let (code, said) = health(&["--admin", &admin]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("not reachable"), "{said}");
}

#[tokio::test]
async fn the_watchdog_is_fed_again_and_again() {
    let origin = Origin::demo().await;
    let service = Service::start(&origin, &[("WATCHDOG_USEC", "200000")]);
    for _ in 0..3 {
        assert_eq!(service.next_with("WATCHDOG").await.get("WATCHDOG"), Some("1"));
    }
}

#[tokio::test]
async fn health_asks_where_the_config_says() {
    let origin = Origin::demo().await;
    let service = Service::start(&origin, &[]);
    let (_, admin) = service.next().await.addresses();
    let path = service.folder().join("other.toml");
    let file = path.to_str().unwrap();
    // A listener on every address is asked on loopback, and what else is wrong in the file plays no part.
    for (text, code, says) in [
        (
            format!("nonsense = 1\nadmin.listen = \"0.0.0.0:{}\"", admin.port()),
            0,
            "ready",
        ),
        (
            "admin.listen = \"9900\"".to_owned(),
            64,
            "admin.listen = \"9900\": accepted is an IP address and port",
        ),
        ("admin.listen = \"127.0.0.1:0\"".to_owned(), 64, "pass --admin"),
        ("admin.listen".to_owned(), 64, "other.toml:1"),
    ] {
        std::fs::write(&path, &text).unwrap();
        let (got, said) = health(&["--config", file]).await;
        assert_eq!(got, Some(code), "{text}: {said}");
        assert!(said.contains(says), "{text}: {said}");
    }
    let (code, said) = health(&["--config", "/nowhere/headpin.toml"]).await;
    assert_eq!(code, Some(64), "{said}");
    let (code, said) = health(&["--admin", "https://localhost:9900"]).await;
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("accepted is http://HOST:PORT"), "{said}");
}

#[tokio::test]
async fn health_does_not_wait_for_ever() {
    // The kernel takes the connection; nobody ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let (code, said) = health(&["--admin", &format!("http://{address}")]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("does not answer within 2s"), "{said}");
}
