//! Tunnels go on byte for byte.

use headpin::observe::labels::HeadPolicy;
use tokio::sync::mpsc;

use crate::support::client::{frame, server_frame};
use crate::support::{Family, Origin, Proxy, eventually, soon};

const TWO_WORKERS: &str = "server.workers = 2";

async fn demo() -> (Origin, Vec<String>) {
    let origin = Origin::demo().await;
    let servers = vec![format!("http://{}", origin.address)];
    (origin, servers)
}

#[tokio::test]
async fn tunnels_go_on_again_and_again() {
    let (_origin, servers) = demo().await;
    let family = Family::start(&servers, TWO_WORKERS).await;
    let mut clients = Vec::new();
    for number in 0..100_u32 {
        let mut client = family.tunnel("/echo").await;
        client.echo(&number.to_be_bytes()).await;
        clients.push(client);
    }
    for generation in 1..=3 {
        let said = family.upgrade().await;
        assert!(
            said.contains("has taken over 100 tunnels and 0 idle connections"),
            "{said}"
        );
        assert!(said.contains("left behind: none"), "{said}");
        for client in &mut clients {
            client.echo(&[generation; 300]).await;
        }
        assert_eq!(family.series("headpin_tunnels_open").await, 100.0);
        // What they take is theirs in the new process as well.
        for (part, bounds) in [("tunnels", 1_000.0..1_800.0), ("tls", 250.0..400.0)] {
            let each = family.series(&format!("headpin_memory_bytes{{part=\"{part}\"}}")).await / 100.0;
            assert!(bounds.contains(&each), "{part}: {each} bytes each");
        }
        assert_eq!(family.series("headpin_handover_taken{kind=\"tunnel\"}").await, 100.0);
        assert_eq!(family.series("headpin_handover_left{reason=\"tls_1_2\"}").await, 0.0);
        assert!(family.series("headpin_handover_longest_pause_seconds").await > 0.0);
    }
    // New ones go to the last.
    family.tunnel("/echo").await.echo(b"new").await;
    assert_eq!(family.log().said("the predecessor has ended").len(), 3);
}

/// One line for each tunnel, when it really ends, with all that it has moved. Its name stays the same.
#[tokio::test]
async fn a_tunnels_line_in_the_log_is_of_its_whole_life() {
    let (_origin, servers) = demo().await;
    let family = Family::start(&servers, TWO_WORKERS).await;
    let mut client = family.tunnel("/echo").await;
    client.echo(b"before").await;
    let began = tokio::time::Instant::now();
    family.upgrade().await;
    client.echo(b"between").await;
    family.upgrade().await;
    client.echo(b"after").await;
    let least = began.elapsed().as_secs_f64();
    assert!(family.log().said("tunnel").is_empty(), "it lives");
    client.send(&frame(0x88, &1000_u16.to_be_bytes())).await;
    client.rest().await;
    let line = family.log().wait_for("tunnel", 1).await;
    let payload = b"beforebetweenafter".len() as u64;
    assert_eq!(line["to_upstream_bytes"], payload + 3 * 6 + 8);
    assert_eq!(line["to_downstream_bytes"], payload + 3 * 2 + 4);
    assert_eq!(line["reason"], "client_close");
    assert_eq!(line["path"], "/echo");
    assert!(line["seconds"].as_f64().unwrap() > least);
    assert_eq!(family.log().said("tunnel").len(), 1);
    let name = line["connection"].as_u64().unwrap();
    assert!(name <= 2, "the first of a worker of the first process, and not {name}");
    // Nobody gets a name that was used before.
    let other = family.tunnel("/echo").await;
    drop(other);
    let line = family.log().wait_for("tunnel", 2).await;
    assert!(line["connection"].as_u64().unwrap() > 2);
}

/// In TLS to the upstream, over a unix socket, and in clear.
#[tokio::test]
async fn upstreams_of_each_kind_go_on() {
    let (origin, servers) = demo().await;
    let back = Proxy::start(&origin, HeadPolicy::Copy, "");
    let (folder, roots) = crate::support::proxy::folder();
    std::fs::copy(back.folder.path().join("ca.pem"), folder.path().join("ca.pem")).unwrap();
    let path = folder.path().join("app.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let address = origin.address;
    #[allow(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(address).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    let kinds = [
        servers[0].clone(),
        format!("https://localhost:{}", back.address.port()),
        format!("unix:{}", path.display()),
    ];
    let routes: String = kinds
        .iter()
        .enumerate()
        .map(|(index, server)| {
            format!(
                "[[routes]]\nname = \"r{index}\"\nhost = \"h{index}\"\nupstream = \"u{index}\"\n\
                 [upstreams.u{index}]\nservers = [{server:?}]\nca = {:?}\n",
                folder.path().join("ca.pem")
            )
        })
        .collect();
    let family = Family::in_folder(folder, roots, &servers, &routes).await;
    let mut clients = Vec::new();
    for index in 0..kinds.len() {
        let mut client = family.connect().await;
        let request = crate::support::client::upgrade_request("/echo");
        let request = request.replace("Host: localhost", &format!("Host: h{index}"));
        client.send(request.as_bytes()).await;
        client.switched().await;
        client.echo(b"before").await;
        clients.push(client);
    }
    for _ in 0..2 {
        let said = family.upgrade().await;
        assert!(said.contains("3 tunnels"), "{said}");
        for client in &mut clients {
            client.echo(&[7; 20_000]).await;
        }
    }
    for (index, client) in clients.iter_mut().enumerate() {
        client.send(&frame(0x88, &1000_u16.to_be_bytes())).await;
        client.rest().await;
        let line = family.log().wait_for("tunnel", index + 1).await;
        assert_eq!(
            (&line["route"], &line["upstream"]),
            (&format!("r{index}").into(), &format!("u{index}").into())
        );
    }
    assert_eq!(family.series("headpin_upstream_connections_open").await, 0.0);
}

/// In the middle of a frame, in the middle of a TLS record, both ways.
#[tokio::test]
async fn what_is_cut_goes_on_where_it_was() {
    let (resume, wait) = tokio::sync::watch::channel(0);
    let origin = Origin::scripted(move |mut connection| {
        let mut wait = wait.clone();
        async move {
            connection.switch(b"").await;
            let message = server_frame(0x82, &[3; 1000]);
            connection.send(&message[..300]).await;
            wait.wait_for(|step| *step >= 1).await.unwrap();
            connection.send(&message[300..]).await;
            let received = connection.receive(1000 + 8).await;
            connection.send(&server_frame(0x82, &received)).await;
            connection.rest().await;
        }
    })
    .await;
    let family = Family::start(&[format!("http://{}", origin.address)], TWO_WORKERS).await;
    let mut client = family.tunnel("/").await;
    let message = server_frame(0x82, &[3; 1000]);
    assert_eq!(client.receive(300).await, message[..300]);
    // A frame in two records, the second of which is cut.
    let ours = frame(0x82, &[5; 1000]);
    client.send(&ours[..100]).await;
    let rest = client.seal(&ours[100..]);
    client.send_raw(&rest[..rest.len() / 2]).await;
    // As soon as that is all in the proxy.
    eventually("half a record is there", || true).await;
    family.upgrade().await;
    resume.send(1).unwrap();
    assert_eq!(client.receive(message.len() - 300).await, message[300..]);
    family.upgrade().await;
    client.send_raw(&rest[rest.len() / 2..]).await;
    let (opcode, echoed) = client.frame().await;
    assert_eq!((opcode, echoed), (0x82, ours), "what the origin received");
    assert_eq!(family.series("headpin_tunnels_open").await, 1.0);
}

/// What a client does not read waits in the proxy, and arrives through the next ones.
async fn what_waits_arrives(settings: &str) {
    const MESSAGES: usize = 400;
    const SIZE: usize = 40_000;
    let (sent, mut all_sent) = mpsc::unbounded_channel();
    let origin = Origin::scripted(move |mut connection| {
        let sent = sent.clone();
        async move {
            connection.switch(b"").await;
            for number in 0..MESSAGES {
                connection.send(&server_frame(0x82, &[number as u8; SIZE])).await;
            }
            sent.send(()).unwrap();
            connection.rest().await;
        }
    })
    .await;
    let settings = format!("{TWO_WORKERS}\n{settings}");
    let family = Family::start(&[format!("http://{}", origin.address)], &settings).await;
    let mut client = family.tunnel("/").await;
    let queues = settings.contains("queue");
    if queues {
        soon("the proxy takes everything", all_sent.recv()).await.unwrap();
    } else {
        soon("it is blocked", async {
            while family.series("headpin_memory_bytes{part=\"unsent\"}").await == 0.0 {}
        })
        .await;
    }
    for generation in 1..=2 {
        let said = family.upgrade().await;
        assert!(said.contains("1 tunnels"), "{said}");
        let unsent = family.series("headpin_memory_bytes{part=\"unsent\"}").await;
        assert!(unsent > 0.0, "it still waits, in process {generation}");
    }
    for number in 0..MESSAGES {
        let (_, payload) = client.frame().await;
        assert!(payload == [number as u8; SIZE], "message {number}");
    }
}

#[tokio::test]
async fn what_is_blocked_arrives() {
    what_waits_arrives("").await;
}

#[tokio::test]
async fn what_is_queued_arrives() {
    what_waits_arrives("relay_policy = \"queue\"").await;
}

/// The heads go along, and are held in a slab of the new process; the 300 MB that they kept are free.
#[tokio::test]
async fn pinned_heads_are_held_again_and_their_slabs_are_free() {
    const SLAB: f64 = 10_485_760.0;
    let (_origin, servers) = demo().await;
    let family = Family::start(&servers, "head_policy = \"pin\"\nserver.workers = 1").await;
    let mut holders = Vec::new();
    for _ in 0..30 {
        let mut client = family.connect().await;
        client.upgrade("/echo", &frame(0x82, b"head")).await;
        assert_eq!(client.frame().await, (0x82, b"head".to_vec()));
        holders.push(client);
        // As much as a slab has, so that the next head lies in another one.
        let mut other = family.connect().await;
        let head = format!("POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: {SLAB}\r\n\r\n");
        other.send(head.as_bytes()).await;
        for _ in 0..10 {
            other.send(&[1; SLAB as usize / 10]).await;
        }
        assert!(other.response_head().await.starts_with("HTTP/1.1 200"));
    }
    let pinned = family.series("headpin_slab_pinned_bytes{class=\"tls\"}").await;
    assert!(pinned >= 29.0 * SLAB, "{pinned}");
    let held = family.series("headpin_heads_held{class=\"tls\"}").await;
    assert_eq!(held, 30.0);
    for _ in 0..2 {
        family.upgrade().await;
        let now = family.series("headpin_heads_held{class=\"tls\"}").await;
        assert_eq!(now, held, "each goes along");
        let pinned = family.series("headpin_slab_pinned_bytes{class=\"tls\"}").await;
        assert!(pinned <= SLAB, "{pinned}");
        for client in &mut holders {
            client.echo(b"after").await;
        }
    }
}

/// rustls keeps the keys of TLS 1.2: those tunnels are closed as by a drain, and named.
#[tokio::test]
async fn who_speaks_tls_1_2_is_told_to_come_again() {
    let (_origin, servers) = demo().await;
    let family = Family::start(&servers, TWO_WORKERS).await;
    let mut old = crate::support::Client::connect_12(family.address, family.roots.clone()).await;
    old.upgrade("/echo", b"").await;
    let mut new = family.tunnel("/echo").await;
    let said = family.upgrade().await;
    assert!(
        said.contains("1 tunnels") && said.contains("left behind: 1: TLS 1.2"),
        "{said}"
    );
    assert_eq!(old.frame().await, (0x88, 1001_u16.to_be_bytes().to_vec()));
    old.send(&frame(0x88, &1001_u16.to_be_bytes())).await;
    old.rest().await;
    new.echo(b"new").await;
    assert_eq!(family.series("headpin_handover_left{reason=\"tls_1_2\"}").await, 1.0);
    family.log().wait_for("the predecessor has ended", 1).await;
}

/// Seconds of silence count on: a tunnel is closed when it has been idle in both processes together.
#[tokio::test]
async fn silence_counts_on() {
    let (_origin, servers) = demo().await;
    let family = Family::start(&servers, &format!("{TWO_WORKERS}\ntunnel.idle_timeout = \"8s\"")).await;
    let mut client = family.tunnel("/echo").await;
    client.echo(b"last").await;
    let idle = async || {
        let (_, body) = crate::support::client::plain(family.admin, "GET", "/api/connections", "").await;
        let census: serde_json::Value = serde_json::from_str(&body).unwrap();
        let tunnel = &census["connections"][0];
        (
            tunnel["idle_seconds"].as_u64().unwrap(),
            tunnel["age_seconds"].as_f64().unwrap(),
        )
    };
    soon("two seconds of silence", async { while idle().await.0 < 2 {} }).await;
    let (_, age) = idle().await;
    family.upgrade().await;
    let now = idle().await;
    assert!(now.0 >= 2 && now.1 >= age, "{now:?} after {age} s");
    assert_eq!(client.frame().await.0, 0x88);
}

/// By a signal, also where nobody can come: the successor is told a name that nobody else knows.
#[tokio::test]
async fn a_signal_starts_a_successor() {
    let (_origin, servers) = demo().await;
    for handover in ["", "off"] {
        let family = Family::start(&servers, TWO_WORKERS).await;
        if handover == "off" {
            let text = std::fs::read_to_string(family.config()).unwrap();
            let socket = format!("{:?}", family.socket());
            std::fs::write(family.config(), text.replace(&socket, "\"off\"")).unwrap();
            family.upgrade().await;
            eventually("nobody can come", || !family.socket().exists()).await;
        }
        let before = family.log().said("handed over").len();
        let mut client = family.tunnel("/echo").await;
        crate::support::program::signal(family.pid(), "USR2");
        family.log().wait_for("handed over", before + 1).await;
        client.echo(b"after").await;
    }
}

/// On the embedded default there is no file that a successor could read.
#[tokio::test]
async fn the_embedded_default_has_no_successor() {
    let log = crate::support::family::Log::default();
    let mut child = crate::support::program::headpin(&["serve", "--until-stdin-closes"]);
    let mut child = child.stdin(std::process::Stdio::piped()).spawn().unwrap();
    log.follow(child.stderr.take().unwrap());
    eventually("it listens", || log.text().contains("listening")).await;
    crate::support::program::signal(child.id(), "USR2");
    eventually("it says so", || log.text().contains("start it with --config")).await;
    assert!(child.try_wait().unwrap().is_none(), "it serves on");
    child.kill().unwrap();
    child.wait().unwrap();
}
