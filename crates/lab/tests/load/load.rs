//! The load generator: against nginx, against the origin itself, and against targets that are at fault.

use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use headpin_lab::load::{
    Carrier, FaultKind, Greet, LoadError, Phase, Plan, Report, Resume, Run, Sources, Trust, Until, Work, render,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::support::demo::DemoOrigin;
use crate::support::nginx::Nginx;
use crate::support::pki::Pki;
use crate::support::{soon, wait_for};

const COUNT: Until = Until::Count(3);

/// One of each kind, small.
fn every_work() -> Vec<Work> {
    let until = Until::Elapsed(Duration::from_millis(200));
    let (http, websocket) = (Carrier::Http, Carrier::Websocket);
    vec![
        Work::Idle { connections: 20, until },
        Work::Echo {
            connections: 4,
            size: 0,
            in_flight: 1,
            own_records: false,
            rate: None,
            until: COUNT,
        },
        Work::Echo {
            connections: 4,
            size: 128,
            in_flight: 16,
            own_records: false,
            rate: None,
            until: Until::Count(500),
        },
        Work::Echo {
            connections: 2,
            size: 300_000,
            in_flight: 3,
            own_records: false,
            rate: None,
            until: Until::Count(7),
        },
        Work::Echo {
            connections: 4,
            size: 128,
            in_flight: 16,
            own_records: true,
            rate: None,
            until: Until::Count(500),
        },
        Work::Echo {
            connections: 2,
            size: 50_000,
            in_flight: 3,
            own_records: true,
            rate: None,
            until: COUNT,
        },
        Work::Churn {
            parallel: 3,
            size: 128,
            resume: Resume::Never,
            until: Until::Count(10),
        },
        Work::Upload {
            connections: 2,
            size: 1_000_003,
            over: http,
            until: COUNT,
        },
        Work::Upload {
            connections: 2,
            size: 1_000_003,
            over: websocket,
            until: COUNT,
        },
        Work::Download {
            connections: 2,
            size: 1_000_003,
            over: http,
            until: COUNT,
        },
        Work::Download {
            connections: 2,
            size: 1_000_003,
            over: websocket,
            until: COUNT,
        },
        slow(http, until),
        slow(websocket, until),
        Work::Head {
            connections: 10,
            size: Some(412),
            greet: Greet::None,
            until,
        },
        Work::Head {
            connections: 10,
            size: Some(50_000),
            greet: Greet::Text,
            until,
        },
        Work::Head {
            connections: 10,
            size: None,
            greet: Greet::Bytes(20_000),
            until,
        },
    ]
}

fn slow(over: Carrier, until: Until) -> Work {
    Work::Slow {
        connections: 3,
        size: 8 << 20,
        read_rate: 100_000,
        receive_buffer: 32 << 10,
        over,
        until,
    }
}

fn plan(target: &str, work: Work) -> Plan {
    Plan {
        target: target.parse().unwrap(),
        trust: Trust::System,
        sources: Sources::default(),
        headers: Vec::new(),
        rate: None,
        threads: NonZeroUsize::MIN,
        timeout: Duration::from_secs(5),
        pid: None,
        work,
    }
}

async fn run(plan: Plan) -> Report {
    let report = soon("the run's end", Run::new(plan).execute()).await.unwrap();
    println!("{}", render(&report));
    report
}

fn assert_done(report: &Report) {
    assert!(report.is_good(), "{}", render(report));
    let expected = match report.work {
        Work::Echo {
            connections,
            until: Until::Count(count),
            ..
        }
        | Work::Upload {
            connections,
            until: Until::Count(count),
            ..
        }
        | Work::Download {
            connections,
            until: Until::Count(count),
            ..
        } => connections * count,
        Work::Churn {
            until: Until::Count(count),
            ..
        } => count,
        Work::Head { connections, .. } => connections,
        _ => 0,
    };
    assert_eq!(report.units, expected, "{}", render(report));
}

#[tokio::test]
async fn every_kind_of_work_is_done_and_verified_through_nginx() {
    let (pki, origin) = (Pki::new(), DemoOrigin::start().await);
    let nginx = Nginx::start(&pki, origin.address).await;
    // Watching takes a second more for each.
    for (number, work) in every_work().into_iter().enumerate() {
        let report = run(Plan {
            trust: Trust::Ca(pki.ca()),
            pid: (number == 0).then(|| nginx.pid()),
            ..plan(&nginx.url(), work)
        })
        .await;
        assert_done(&report);
        assert!(report.tls.as_ref().unwrap().starts_with("TLSv1_3"), "{:?}", report.tls);
        assert_eq!(report.process.is_some(), number == 0);
    }
    drop(nginx);
    origin.shutdown().await;
}

#[tokio::test]
async fn every_kind_of_work_is_done_and_verified_without_a_proxy() {
    let origin = DemoOrigin::start().await;
    for work in every_work() {
        let two = NonZeroUsize::new(2).unwrap();
        let report = run(Plan {
            threads: two,
            ..plan(&format!("ws://{}", origin.address), work)
        })
        .await;
        assert_done(&report);
        assert_eq!((report.tls, report.process), (None, None));
    }
    origin.shutdown().await;
}

#[tokio::test]
async fn requests_go_on_when_the_target_ends_a_kept_alive_connection() {
    let (pki, origin) = (Pki::new(), DemoOrigin::start().await);
    let nginx = Nginx::start(&pki, origin.address).await;
    // nginx ends a connection after 5 requests.
    let (connections, size, over, until) = (2, 1_000, Carrier::Http, Until::Count(12));
    for work in [
        Work::Upload {
            connections,
            size,
            over,
            until,
        },
        Work::Download {
            connections,
            size,
            over,
            until,
        },
    ] {
        assert_done(
            &run(Plan {
                trust: Trust::Ca(pki.ca()),
                ..plan(&nginx.url(), work)
            })
            .await,
        );
    }
    drop(nginx);
    origin.shutdown().await;
}

#[tokio::test]
async fn messages_pushed_to_idle_tunnels_are_counted() {
    let origin = DemoOrigin::start().await;
    let work = Work::Idle {
        connections: 5,
        until: Until::Stopped,
    };
    let mut run = Run::new(plan(&format!("ws://{}/push/client-{{n}}", origin.address), work));
    let (live, stop, ready) = (run.live(), run.stop_token(), run.on_ready());
    let pushing = async {
        assert_eq!(ready.await, Ok(5));
        for client in 0..5 {
            assert_eq!(
                origin.publish(&format!("client-{client}"), "hello").await,
                r#"{"receivers": 1}"#
            );
        }
        wait_for("the messages", async || (live.glance().units == 5).then_some(())).await;
        stop.cancel();
    };
    let (report, ()) = soon("the run's end", async { tokio::join!(run.execute(), pushing) }).await;
    let report = report.unwrap();
    assert!(report.is_good() && report.bytes_received == 25, "{}", render(&report));
    origin.shutdown().await;
}

#[tokio::test]
async fn tickets_resume_and_their_absence_does_not() {
    let (pki, origin) = (Pki::new(), DemoOrigin::start().await);
    let nginx = Nginx::start(&pki, origin.address).await;
    for (resume, resumed) in [(Resume::Never, 0), (Resume::Tickets, 20)] {
        let work = Work::Churn {
            parallel: 1,
            size: 10,
            resume,
            until: Until::Count(20),
        };
        let report = run(Plan {
            trust: Trust::Ca(pki.ca()),
            ..plan(&nginx.url(), work)
        })
        .await;
        assert_done(&report);
        assert_eq!(report.connections.resumed, resumed, "{resume:?}");
    }
    drop(nginx);
    origin.shutdown().await;
}

#[tokio::test]
async fn messages_go_in_records_of_their_own_if_they_are_to() {
    const MESSAGES: u64 = 160;
    let (pki, origin) = (Pki::new(), DemoOrigin::start().await);
    let nginx = Nginx::start(&pki, origin.address).await;
    for own_records in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = format!("wss://localhost:{}", listener.local_addr().unwrap().port());
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let _between = BadTarget(spawn(count_records(listener, nginx.port, tell)));
        let work = Work::Echo {
            connections: 1,
            size: 128,
            in_flight: 16,
            own_records,
            rate: None,
            until: Until::Count(MESSAGES),
        };
        let report = run(Plan {
            trust: Trust::Ca(pki.ca()),
            ..plan(&target, work)
        })
        .await;
        assert_done(&report);
        // One connection is to try the target.
        let records = told.recv().await.unwrap().max(told.recv().await.unwrap());
        assert_eq!(records >= MESSAGES, own_records, "{records} records");
    }
    drop(nginx);
    origin.shutdown().await;
}

#[tokio::test]
async fn the_watched_process_is_measured_for_each_connection() {
    let (pki, origin) = (Pki::new(), DemoOrigin::start().await);
    let nginx = Nginx::start(&pki, origin.address).await;
    let work = Work::Idle {
        connections: 300,
        until: Until::Elapsed(Duration::ZERO),
    };
    let report = run(Plan {
        trust: Trust::Anyone,
        pid: Some(nginx.pid()),
        ..plan(&nginx.url(), work)
    })
    .await;
    let process = report.process.unwrap();
    let each = process.rss_per_connection.unwrap();
    assert!((5_000.0..200_000.0).contains(&each), "{each} B a connection");
    assert!(process.cpu_us_per_unit.unwrap() > 0.0 && process.end.pss_bytes.unwrap() > 0);
    drop(nginx);
    origin.shutdown().await;
}

#[tokio::test]
async fn a_rate_is_kept_and_sources_are_used() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("ws://{}", listener.local_addr().unwrap());
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let _target = bad_target(listener, move |mut socket| {
        _ = tell.send(socket.get_ref().peer_addr().unwrap().ip().to_string());
        async move { while let Some(Ok(_)) = socket.next().await {} }
    });
    let work = Work::Idle {
        connections: 40,
        until: Until::Elapsed(Duration::ZERO),
    };
    let sources = "127.0.0.2-127.0.0.4".parse().unwrap();
    let report = run(Plan {
        rate: Some(100.0),
        sources,
        ..plan(&target, work)
    })
    .await;
    assert!(report.is_good());
    let reached = report.rate.reached.unwrap();
    assert!((50.0..110.0).contains(&reached), "{reached}/s");
    let mut seen = Vec::new();
    while let Ok(source) = told.try_recv() {
        seen.push(source);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["127.0.0.2", "127.0.0.3", "127.0.0.4"]);
}

#[tokio::test]
async fn messages_with_a_rate_wait_for_their_time_and_not_for_answers() {
    const MESSAGES: u64 = 20;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("ws://{}", listener.local_addr().unwrap());
    // Answers nothing before it has everything.
    let _target = bad_target(listener, |mut socket| async move {
        let mut messages = Vec::new();
        while let Some(Ok(message)) = socket.next().await {
            messages.push(message);
            if messages.len() as u64 == MESSAGES {
                for message in messages.drain(..) {
                    _ = socket.send(message).await;
                }
            }
        }
    });
    let work = Work::Echo {
        connections: 1,
        size: 100,
        in_flight: 1,
        own_records: false,
        rate: Some(200.0),
        until: Until::Count(MESSAGES),
    };
    let report = run(plan(&target, work)).await;
    assert!(report.is_good(), "{:?}", report.faults);
    assert_eq!(report.units, MESSAGES);
    // The first is sent at once, the last 19 periods later.
    assert!(report.seconds >= 0.09, "{} s", report.seconds);
}

#[tokio::test]
async fn a_run_that_is_stopped_keeps_what_it_measured() {
    let origin = DemoOrigin::start().await;
    let work = Work::Echo {
        connections: 4,
        size: 100,
        in_flight: 2,
        own_records: false,
        rate: None,
        until: Until::Elapsed(Duration::from_secs(3600)),
    };
    let run = Run::new(plan(&format!("ws://{}", origin.address), work));
    let (live, stop) = (run.live(), run.stop_token());
    let stopping = async {
        wait_for("the first echoes", async || (live.glance().units > 100).then_some(())).await;
        stop.cancel();
    };
    let (report, ()) = soon("the run's end", async { tokio::join!(run.execute(), stopping) }).await;
    let report = report.unwrap();
    assert!(report.partial && report.faults.is_empty(), "{}", render(&report));
    assert!(report.units > 100 && render(&report).contains("PARTIAL"));
    origin.shutdown().await;
}

#[tokio::test]
async fn a_run_that_is_stopped_while_it_opens_keeps_what_is_open() {
    let origin = DemoOrigin::start().await;
    let work = Work::Idle {
        connections: 1_000,
        until: Until::Stopped,
    };
    let run = Run::new(Plan {
        rate: Some(50.0),
        ..plan(&format!("ws://{}", origin.address), work)
    });
    let (live, stop) = (run.live(), run.stop_token());
    let stopping = async {
        wait_for("ten tunnels", async || (live.glance().opened >= 10).then_some(())).await;
        stop.cancel();
    };
    let (report, ()) = soon("the run's end", async { tokio::join!(run.execute(), stopping) }).await;
    let report = report.unwrap();
    assert!(
        report.partial && (10..100).contains(&report.connections.opened),
        "{}",
        render(&report)
    );
    origin.shutdown().await;
}

#[tokio::test]
async fn a_target_that_dies_ends_the_run_with_faults() {
    let (pki, origin) = (Pki::new(), DemoOrigin::start().await);
    let mut nginx = Nginx::start(&pki, origin.address).await;
    let work = Work::Echo {
        connections: 8,
        size: 100,
        in_flight: 1,
        own_records: false,
        rate: None,
        until: Until::Elapsed(Duration::from_secs(3600)),
    };
    let run = Run::new(Plan {
        trust: Trust::Ca(pki.ca()),
        ..plan(&nginx.url(), work)
    });
    let live = run.live();
    let killing = async {
        wait_for("the first echoes", async || (live.glance().units > 100).then_some(())).await;
        nginx.stop().await;
    };
    let (report, ()) = soon("the run's end", async { tokio::join!(run.execute(), killing) }).await;
    let report = report.unwrap();
    let faults: u64 = report.faults.values().map(|seen| seen.count).sum();
    assert_eq!((faults, report.partial), (8, false), "{}", render(&report));
    origin.shutdown().await;
}

#[tokio::test]
async fn tunnels_that_the_target_closes_are_named_with_code_and_reason() {
    let origin = DemoOrigin::start().await;
    let work = Work::Idle {
        connections: 5,
        until: Until::Stopped,
    };
    let run = Run::new(plan(&format!("ws://{}", origin.address), work));
    let live = run.live();
    let closing = async {
        wait_for("the holding", async || {
            (live.glance().phase == Phase::Working).then_some(())
        })
        .await;
        origin.shutdown().await;
    };
    let (report, ()) = soon("the run's end", async { tokio::join!(run.execute(), closing) }).await;
    let report = report.unwrap();
    let closed = &report.faults[&FaultKind::Closed];
    assert!(
        closed.count == 5 && closed.example.contains("1001"),
        "{}",
        render(&report)
    );
}

#[tokio::test]
async fn an_idle_tunnel_answers_pings() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("ws://{}", listener.local_addr().unwrap());
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let _target = bad_target(listener, move |mut socket| {
        let tell = tell.clone();
        async move {
            socket.send(Message::Ping("are you there".into())).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                if let Message::Pong(payload) = message {
                    _ = tell.send(payload);
                }
            }
        }
    });
    let run = Run::new(plan(
        &target,
        Work::Idle {
            connections: 1,
            until: Until::Stopped,
        },
    ));
    let stop = run.stop_token();
    let ponged = async {
        let payload = told.recv().await.unwrap();
        stop.cancel();
        payload
    };
    let (report, payload) = soon("the pong", async { tokio::join!(run.execute(), ponged) }).await;
    assert_eq!(payload, "are you there");
    assert!(report.unwrap().is_good());
}

#[tokio::test]
async fn bytes_that_are_wrong_lost_or_doubled_are_found() {
    type Spoil = fn(Vec<u8>) -> Vec<Vec<u8>>;
    let spoilt: [(&str, Spoil); 5] = [
        ("byte 70 of 100", |mut echo| {
            echo[70] ^= 1;
            vec![echo]
        }),
        ("99 bytes instead of 100", |mut echo| {
            echo.pop();
            vec![echo]
        }),
        ("101 bytes and more", |mut echo| {
            echo.push(0);
            vec![echo]
        }),
        ("0 bytes instead of 100", |echo| vec![Vec::new(), echo]),
        ("", |echo| vec![echo.clone(), echo]),
    ];
    for (example, spoil) in spoilt {
        for work in [
            Work::Echo {
                connections: 1,
                size: 100,
                in_flight: 1,
                own_records: false,
                rate: None,
                until: Until::Count(5),
            },
            Work::Head {
                connections: 1,
                size: Some(100),
                greet: Greet::None,
                until: Until::Elapsed(Duration::ZERO),
            },
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let target = format!("ws://{}", listener.local_addr().unwrap());
            let _target = bad_target(listener, move |mut socket| async move {
                while let Some(Ok(Message::Binary(message))) = socket.next().await {
                    for echo in spoil(message.to_vec()) {
                        if socket.send(Message::binary(echo)).await.is_err() {
                            return;
                        }
                    }
                }
            });
            let report = run(plan(&target, work)).await;
            let wrong = report.faults.get(&FaultKind::WrongBytes);
            assert!(
                wrong.is_some_and(|seen| seen.example.contains(example)),
                "{example}: {}",
                render(&report)
            );
        }
    }
}

#[tokio::test]
async fn a_head_that_is_lost_is_found() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("ws://{}", listener.local_addr().unwrap());
    let _target = bad_target(listener, |mut socket| async move {
        _ = socket.next().await; // the head
        while let Some(Ok(message)) = socket.next().await {
            if socket.send(message).await.is_err() {
                return;
            }
        }
    });
    let work = Work::Head {
        connections: 2,
        size: Some(100),
        greet: Greet::None,
        until: Until::Elapsed(Duration::ZERO),
    };
    let report = run(Plan {
        timeout: Duration::from_millis(300),
        ..plan(&target, work)
    })
    .await;
    assert_eq!((report.units, report.faults[&FaultKind::Timeout].count), (0, 2));
}

#[tokio::test]
async fn what_keeps_a_run_from_beginning_is_said_with_the_remedy() {
    let (pki, origin) = (Pki::new(), DemoOrigin::start().await);
    let nginx = Nginx::start(&pki, origin.address).await;
    let idle = |connections| Work::Idle {
        connections,
        until: Until::Stopped,
    };
    let plain = format!("ws://{}", origin.address);
    for (what, plan, says) in [
        (
            "nobody there",
            plan("ws://127.0.0.1:1", idle(1)),
            "start the target there",
        ),
        ("an unknown issuer", plan(&nginx.url(), idle(1)), "--ca FILE"),
        (
            "a refused upgrade",
            plan(&format!("{plain}/greet/many"), idle(1)),
            "answered with 400",
        ),
        ("too many", plan(&plain, idle(10_000_000)), "ulimit -n"),
        (
            "a foreign source",
            Plan {
                sources: "192.0.2.1".parse().unwrap(),
                ..plan(&plain, idle(1))
            },
            "--source",
        ),
        (
            "no such process",
            Plan {
                pid: Some(u32::MAX),
                ..plan(&plain, idle(1))
            },
            "--pid",
        ),
        ("no such host", plan("ws://nobody.invalid", idle(1)), "check its name"),
        (
            "no CA file",
            Plan {
                trust: Trust::Ca("/nowhere".into()),
                ..plan(&nginx.url(), idle(1))
            },
            "/nowhere",
        ),
    ] {
        let error = soon(what, Run::new(plan).execute()).await.unwrap_err();
        let text = format!("{:#}", anyhow::Error::new(error));
        assert!(text.contains(says), "{what}: {text}");
    }
    let run = Run::new(plan(&plain, idle(1)));
    run.stop_token().cancel();
    assert!(matches!(run.execute().await, Err(LoadError::Stopped)));
    drop(nginx);
    origin.shutdown().await;
}

/// A WebSocket server that does with each connection what `serve` does, right or wrong.
fn bad_target<F>(listener: TcpListener, serve: impl Fn(WebSocketStream<TcpStream>) -> F + Send + 'static) -> BadTarget
where
    F: Future<Output = ()> + Send + 'static,
{
    BadTarget(spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Some(socket) = accept(stream).await {
                spawn(serve(socket));
            }
        }
    }))
}

/// Upgrades; tungstenite's own accept takes bytes behind the request for an attack.
async fn accept(mut stream: TcpStream) -> Option<WebSocketStream<TcpStream>> {
    let mut request = Vec::new();
    let end = loop {
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = request.split_off(end);
    let request = String::from_utf8(request).unwrap();
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
        .unwrap();
    let accept = derive_accept_key(key.as_bytes());
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(response.as_bytes()).await.ok()?;
    Some(WebSocketStream::from_partially_read(stream, head, Role::Server, None).await)
}

/// Passes connections on to `port`, and tells of each how many TLS records of data its client sent.
async fn count_records(listener: TcpListener, port: u16, tell: tokio::sync::mpsc::UnboundedSender<u64>) {
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let tell = tell.clone();
        spawn(async move {
            let (mut from_client, mut to_client) = client.split();
            let (mut from_server, mut to_server) = server.split();
            let upwards = async {
                let mut sent = Vec::new();
                loop {
                    let before = sent.len();
                    if from_client.read_buf(&mut sent).await.unwrap_or(0) == 0 {
                        _ = to_server.shutdown().await;
                        return sent;
                    }
                    _ = to_server.write_all(&sent[before..]).await;
                }
            };
            let downwards = async {
                _ = tokio::io::copy(&mut from_server, &mut to_client).await;
                _ = to_client.shutdown().await;
            };
            let (sent, ()) = tokio::join!(upwards, downwards);
            _ = tell.send(application_data(&sent));
        });
    }
}

/// TLS records of application data (RFC 8446 section 5.1).
fn application_data(mut bytes: &[u8]) -> u64 {
    let mut count = 0;
    while let &[kind, _, _, high, low, ref rest @ ..] = bytes {
        count += u64::from(kind == 23);
        bytes = rest
            .get(usize::from(u16::from_be_bytes([high, low]))..)
            .unwrap_or_default();
    }
    count
}

/// Ends with the test.
struct BadTarget(JoinHandle<()>);

impl Drop for BadTarget {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(task)
}
