//! Connections that speak HTTP.

use tokio::sync::watch;

use crate::support::{Client, EMPTY_200, Family, Origin, soon};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

async fn answering(answer: &'static [u8]) -> Origin {
    Origin::scripted(move |mut connection| async move {
        while connection.request_or_end().await.is_some() {
            connection.send(answer).await;
        }
    })
    .await
}

/// With 200, and the connection may go on.
async fn answered(client: &mut Client) {
    let head = client.response_head().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(!head.to_lowercase().contains("connection: close"), "{head}");
}

fn servers(origin: &Origin) -> Vec<String> {
    vec![format!("http://{}", origin.address)]
}

/// A connection on which `before` was sent, and answered so many times, goes on with `after`.
async fn goes_on(before: &[u8], answers: usize, after: &[u8]) {
    let origin = answering(EMPTY_200).await;
    let family = Family::start(&servers(&origin), "server.workers = 2").await;
    let mut client = family.connect().await;
    if !before.is_empty() {
        client.send(before).await;
    }
    for _ in 0..answers {
        answered(&mut client).await;
    }
    soon("hands are shaken", async {
        while family.series("headpin_tls_handshakes_total{result=\"full\"}").await == 0.0 {}
    })
    .await;
    for _ in 0..2 {
        let said = family.upgrade().await;
        assert!(said.contains("1 idle connections"), "{said}");
    }
    assert_eq!(family.series("headpin_handover_taken{kind=\"connection\"}").await, 1.0);
    client.send(after).await;
    answered(&mut client).await;
    client.send(GET).await;
    answered(&mut client).await;
}

#[tokio::test]
async fn one_between_two_requests_goes_on() {
    goes_on(GET, 1, GET).await;
}

#[tokio::test]
async fn one_that_has_asked_for_nothing_yet_goes_on() {
    goes_on(b"", 0, GET).await;
}

#[tokio::test]
async fn one_in_the_head_of_its_first_request_goes_on() {
    goes_on(&GET[..10], 0, &GET[10..]).await;
}

#[tokio::test]
async fn one_in_the_head_of_a_later_request_goes_on() {
    goes_on(&[GET, &GET[..20]].concat(), 1, &GET[20..]).await;
}

/// What is in a request ends it in the old process, is told nothing, and follows.
#[tokio::test]
async fn one_within_a_request_ends_it_and_follows() {
    let (finish, wait) = watch::channel(false);
    let origin = Origin::scripted(move |mut connection| {
        let mut wait = wait.clone();
        async move {
            while connection.request_or_end().await.is_some() {
                connection
                    .send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
                    .await;
                wait.wait_for(|finish| *finish).await.unwrap();
                connection.send(b"-last").await;
            }
        }
    })
    .await;
    // However long it takes: that is no drain.
    let settings = "server.workers = 2\nserver.drain_grace = \"0s\"";
    let family = Family::start(&servers(&origin), settings).await;
    let mut client = family.connect().await;
    client.send(GET).await;
    let head = client.response_head().await;
    assert!(!head.to_lowercase().contains("connection: close"), "{head}");
    assert_eq!(client.receive(5).await, b"first");
    let said = family.upgrade().await;
    assert!(said.contains("0 idle connections"), "{said}");
    finish.send(true).unwrap();
    assert_eq!(client.receive(5).await, b"-last");
    family.log().wait_for("the predecessor has ended", 1).await;
    for _ in 0..2 {
        client.send(GET).await;
        answered(&mut client).await;
        assert_eq!(client.receive(10).await, b"first-last");
    }
}

#[tokio::test]
async fn an_upload_is_completed() {
    const SIZE: usize = 3_000_000;
    let origin = Origin::demo().await;
    let family = Family::start(&servers(&origin), "server.workers = 2").await;
    let mut client = family.connect().await;
    let head = format!("POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: {SIZE}\r\n\r\n");
    client.send(head.as_bytes()).await;
    client.send(&[1; SIZE / 2]).await;
    family.upgrade().await;
    client.send(&[1; SIZE / 2]).await;
    let head = client.response_head().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    family.log().wait_for("the predecessor has ended", 1).await;
}

/// An upgrade that is under way becomes a tunnel in the old process, and follows.
#[tokio::test]
async fn an_upgrade_under_way_becomes_a_tunnel_and_follows() {
    let (finish, wait) = watch::channel(false);
    let origin = Origin::scripted(move |mut connection| {
        let mut wait = wait.clone();
        async move {
            connection.request().await;
            wait.wait_for(|finish| *finish).await.unwrap();
            let answer = crate::support::origin::switching();
            connection.send(&[answer.as_bytes(), b"\x82\x05hello"].concat()).await;
            let received = connection.receive(11).await;
            connection
                .send(&crate::support::client::server_frame(0x82, &received))
                .await;
            connection.rest().await;
        }
    })
    .await;
    let family = Family::start(&servers(&origin), "server.workers = 2").await;
    let mut client = family.connect().await;
    client
        .send(crate::support::client::upgrade_request("/").as_bytes())
        .await;
    soon("the origin is asked", async {
        while family.series("headpin_requests_in_flight").await == 0.0 {}
    })
    .await;
    family.upgrade().await;
    finish.send(true).unwrap();
    client.switched().await;
    assert_eq!(client.frame().await, (0x82, b"hello".to_vec()));
    family.log().wait_for("the predecessor has ended", 1).await;
    let ours = crate::support::client::frame(0x82, b"hello");
    client.send(&ours).await;
    assert_eq!(client.frame().await, (0x82, ours));
    assert_eq!(family.series("headpin_tunnels_open").await, 1.0);
}

/// New connections are never refused, whoever accepts them.
#[tokio::test]
async fn nobody_is_refused_meanwhile() {
    let origin = answering(EMPTY_200).await;
    let family = Family::start(&servers(&origin), "server.workers = 2").await;
    let upgrading = async {
        for _ in 0..5 {
            family.upgrade().await;
        }
    };
    let asking = async {
        let mut asked = 0;
        loop {
            let mut client = family.connect().await;
            client.send(GET).await;
            answered(&mut client).await;
            asked += 1;
            if family.log().said("handed over").len() == 5 {
                return asked;
            }
        }
    };
    let ((), asked) = tokio::join!(upgrading, asking);
    assert!(asked > 5, "{asked}");
}

/// From the process before the last to the one before it to the last.
#[tokio::test]
async fn one_within_a_request_follows_through_two_processes() {
    let (finish, wait) = watch::channel(0);
    let origin = Origin::scripted(move |mut connection| {
        let mut wait = wait.clone();
        async move {
            while let Some(request) = connection.request_or_end().await {
                let step = if request.starts_with("GET /first") { 1 } else { 2 };
                connection
                    .send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
                    .await;
                wait.wait_for(|finish| *finish >= step).await.unwrap();
                connection.send(b"-last").await;
            }
        }
    })
    .await;
    let family = Family::start(&servers(&origin), "server.workers = 2").await;
    let mut first = family.connect().await;
    first.send(b"GET /first HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    answered(&mut first).await;
    family.upgrade().await;
    // It keeps the second process there.
    let mut second = family.connect().await;
    second.send(b"GET /second HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    answered(&mut second).await;
    family.upgrade().await;
    finish.send(1).unwrap();
    assert_eq!(first.receive(10).await, b"first-last");
    family.log().wait_for("the predecessor has ended", 1).await;
    finish.send(2).unwrap();
    assert_eq!(second.receive(10).await, b"first-last");
    family.log().wait_for("the predecessor has ended", 2).await;
    assert_eq!(family.series("headpin_handover_taken{kind=\"connection\"}").await, 2.0);
    for client in [&mut first, &mut second] {
        client.send(GET).await;
        answered(client).await;
    }
}
