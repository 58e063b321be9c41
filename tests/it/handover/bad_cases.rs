//! When something goes wrong, either the successor has everything, or the old process serves on as if nothing had been asked. What
//! dies is what had gone to who died.

use std::os::fd::AsFd as _;
use std::process::Stdio;
use std::time::Duration;

use headpin::handed::State;
use headpin::handover::{Answer, Channel, Hello, VARIABLE, Wants};
use headpin_tls::TicketKeysState;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;

use crate::support::family::{Log, config};
use crate::support::program::signal;
use crate::support::{Client, Family, Origin, eventually, soon};

/// What a successor says, as in version 1 of the format.
#[derive(Debug, Serialize, Deserialize)]
enum Says {
    Ready,
    Failed(String),
    Taken(Vec<Option<String>>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Listening {
    configured: std::net::SocketAddr,
    bound: std::net::SocketAddr,
}

/// What a predecessor says, likewise.
#[derive(Debug, Serialize, Deserialize)]
enum Hears {
    Proxy(Listening),
    Admin(Listening),
    TicketKeys(TicketKeysState),
    Listening { sockets: u64 },
    Go { after: u64, tunnels: u64 },
    Items(Vec<(Duration, State)>),
    Done(Vec<(String, u64)>),
}

/// A successor that does what a test says.
struct Fake(Channel);

impl Fake {
    async fn comes_to(family: &Family) -> Self {
        let stream = UnixStream::connect(family.socket()).await.unwrap();
        Self(Channel::new(stream))
    }

    async fn says_hello(&mut self, hello: &Hello) -> Answer {
        self.0.send(hello, &[]).await.unwrap();
        soon("an answer", self.0.receive::<Answer>()).await.unwrap().message
    }

    /// Up to where it would say that it is ready.
    async fn welcomed(family: &Family) -> Self {
        let mut fake = Self::comes_to(family).await;
        let answer = fake.says_hello(&Hello::new(Wants::Everything)).await;
        assert!(matches!(answer, Answer::Welcome { format: 1, .. }), "{answer:?}");
        while !matches!(fake.hears().await, Hears::Listening { .. }) {}
        fake
    }

    /// Up to where everything comes.
    async fn ready(family: &Family) -> Self {
        let mut fake = Self::welcomed(family).await;
        fake.says(&Says::Ready).await;
        assert!(matches!(fake.hears().await, Hears::Go { .. }));
        fake
    }

    async fn hears(&mut self) -> Hears {
        soon("a message", self.0.receive::<Hears>()).await.unwrap().message
    }

    async fn says(&mut self, says: &Says) {
        self.0.send(says, &[]).await.unwrap();
    }
}

struct Serving {
    _origin: Origin,
    family: Family,
    clients: Vec<Client>,
}

/// A proxy with so many tunnels.
async fn serving(tunnels: usize) -> Serving {
    let origin = Origin::demo().await;
    let servers = [format!("http://{}", origin.address)];
    let family = Family::start(&servers, "server.workers = 2").await;
    let mut clients = Vec::new();
    for _ in 0..tunnels {
        clients.push(family.tunnel("/echo").await);
    }
    Serving {
        _origin: origin,
        family,
        clients,
    }
}

impl Serving {
    /// The first process serves on, as if nothing had been asked.
    async fn nothing_has_changed(&mut self) {
        for client in &mut self.clients {
            client.echo(b"still here").await;
        }
        let family = &self.family;
        family.tunnel("/echo").await.echo(b"new").await;
        soon("the new one has left", async {
            while family.series("headpin_tunnels_open").await > self.clients.len() as f64 {}
        })
        .await;
        assert_eq!(family.pid(), family.first());
        assert_eq!(family.series("headpin_tunnels_open").await, self.clients.len() as f64);
        assert_eq!(family.series("headpin_draining").await, 0.0);
    }

    /// After all, a hand-over goes well.
    async fn can_still_hand_over(&mut self) {
        let said = self.family.upgrade().await;
        assert!(said.contains(&format!("{} tunnels", self.clients.len())), "{said}");
        for client in &mut self.clients {
            client.echo(b"still here").await;
        }
    }

    async fn failed(&self, times: usize) -> String {
        let line = self
            .family
            .log()
            .wait_for("not handed over; this process serves on", times)
            .await;
        let failed = self.family.series("headpin_handovers_total{result=\"failed\"}").await;
        assert_eq!(failed, times as f64);
        line["error"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_successor_with_a_faulty_config_is_refused_and_says_what_is_wrong() {
    let mut serving = serving(3).await;
    let path = serving.family.config();
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, good.replace("server.workers = 2", "server.workers = \"many\"")).unwrap();
    let (went_well, said) = serving.family.try_upgrade().await;
    assert!(!went_well);
    assert!(
        said.contains("nothing has changed") && said.contains("server.workers = \"many\""),
        "{said}"
    );
    serving.nothing_has_changed().await;
    std::fs::write(&path, good).unwrap();
    serving.can_still_hand_over().await;
}

#[tokio::test]
async fn a_successor_of_an_unknown_format_is_told_which_there_are() {
    let mut serving = serving(3).await;
    let mut fake = Fake::comes_to(&serving.family).await;
    let hello = Hello {
        version: "7.0.0".to_owned(),
        formats: vec![99, 98],
        ..Hello::new(Wants::Everything)
    };
    let Answer::Refused(why) = fake.says_hello(&hello).await else {
        panic!("it has no format in common")
    };
    assert!(
        why.contains("7.0.0 knows versions [99, 98]") && why.contains("knows [1]"),
        "{why}"
    );
    assert!(serving.failed(1).await.contains("[99, 98]"));
    serving.nothing_has_changed().await;
    serving.can_still_hand_over().await;
}

#[tokio::test]
async fn who_speaks_of_something_else_is_sent_away() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut serving = serving(1).await;
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 64],
        &[3, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3],
    ] {
        let mut stream = UnixStream::connect(serving.family.socket()).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end as well.
        let _ = soon("the end", stream.read_to_end(&mut answer)).await;
        assert!(answer.is_empty());
    }
    serving.nothing_has_changed().await;
    serving.can_still_hand_over().await;
}

#[tokio::test]
async fn a_successor_that_dies_before_it_is_ready_changes_nothing() {
    let mut serving = serving(3).await;
    drop(Fake::welcomed(&serving.family).await);
    assert!(serving.failed(1).await.contains("gone away"));
    serving.nothing_has_changed().await;
    let mut fake = Fake::welcomed(&serving.family).await;
    fake.says(&Says::Failed("its disk is full".to_owned())).await;
    assert!(serving.failed(2).await.contains("its disk is full"));
    serving.nothing_has_changed().await;
    serving.can_still_hand_over().await;
}

#[tokio::test]
async fn a_successor_that_dies_before_it_takes_anything_changes_nothing() {
    let mut serving = serving(100).await;
    drop(Fake::ready(&serving.family).await);
    assert!(serving.failed(1).await.contains("0 connections had gone to it"));
    serving.nothing_has_changed().await;
    // It was given something, and has not said that it took it.
    let mut fake = Fake::ready(&serving.family).await;
    assert!(matches!(fake.hears().await, Hears::Items(_)));
    drop(fake);
    assert!(serving.failed(2).await.contains("0 connections had gone to it"));
    serving.nothing_has_changed().await;
    serving.can_still_hand_over().await;
}

/// While it hangs, what it was given waits: at the end of its time that goes on in the old process, and nothing is lost.
#[tokio::test]
async fn a_successor_that_hangs_is_given_up() {
    let mut serving = serving(100).await;
    let mut fake = Fake::ready(&serving.family).await;
    let Hears::Items(items) = fake.hears().await else {
        panic!("tunnels come first")
    };
    assert!(serving.failed(1).await.contains("did not answer within 5s"));
    serving.nothing_has_changed().await;
    // It cannot take them any more.
    let too_late = fake.0.send(&Says::Taken(vec![None; items.len()]), &[]).await;
    assert!(too_late.is_err());
    serving.nothing_has_changed().await;
}

#[tokio::test]
async fn what_a_successor_has_taken_dies_with_it_and_nothing_else() {
    let mut serving = serving(100).await;
    let mut fake = Fake::ready(&serving.family).await;
    let Hears::Items(items) = fake.hears().await else {
        panic!("tunnels come first")
    };
    // The kernel still has it when it dies: what was said counts.
    fake.says(&Says::Taken(vec![None; items.len()])).await;
    drop(fake);
    let error = serving.failed(1).await;
    assert!(
        error.contains(&format!("{} connections had gone to it", items.len())),
        "{error}"
    );
    let gone: Vec<u64> = items
        .iter()
        .map(|(_, state)| match state {
            State::Tunnel(tunnel) => tunnel.identity.id,
            State::Connection(connection) => connection.identity.id,
        })
        .collect();
    let mut alive = 0;
    for (index, client) in serving.clients.iter_mut().enumerate() {
        if gone.contains(&(index as u64 + 1)) || client.is_ended().await {
            continue;
        }
        client.echo(b"still here").await;
        alive += 1;
    }
    assert_eq!(
        serving.family.series("headpin_tunnels_open").await,
        (100 - items.len()) as f64
    );
    assert!(alive <= 100 - items.len());
    // Nobody says of them how they ended: they had gone.
    assert!(serving.family.log().said("tunnel").is_empty());
}

#[tokio::test]
async fn what_a_successor_cannot_go_on_with_goes_on_here() {
    let mut serving = serving(10).await;
    let mut fake = Fake::ready(&serving.family).await;
    let Hears::Items(items) = fake.hears().await else {
        panic!("tunnels come first")
    };
    let reasons = vec![Some("as a test has it".to_owned()); items.len()];
    fake.says(&Says::Taken(reasons)).await;
    // They are not asked again: what comes next are the others, or the end.
    loop {
        match fake.hears().await {
            Hears::Items(items) => {
                let reasons = vec![Some("as a test has it".to_owned()); items.len()];
                fake.says(&Says::Taken(reasons)).await;
            }
            Hears::Done(left) => {
                assert_eq!(left, [("as a test has it".to_owned(), 10)]);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    drop(fake);
    serving.failed(1).await;
    serving.nothing_has_changed().await;
}

/// One of them, whichever comes first; then it hands over to the other, or that one is refused.
#[tokio::test]
async fn of_two_successors_at_once_one_serves_in_the_end() {
    let mut serving = serving(50).await;
    let mut two: Vec<_> = (0..2)
        .map(|_| serving.family.another().stdin(Stdio::piped()).spawn().unwrap())
        .collect();
    let logs: Vec<_> = two
        .iter_mut()
        .map(|child| {
            let log = Log::default();
            log.follow(child.stderr.take().unwrap());
            log
        })
        .collect();
    let settled = |child: &mut std::process::Child, log: &Log| {
        child.try_wait().unwrap().is_some() || !log.said("taken over").is_empty()
    };
    soon("both have come to something", async {
        while !two.iter_mut().zip(&logs).all(|(child, log)| settled(child, log)) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for client in &mut serving.clients {
        client.echo(b"still here").await;
    }
    serving.family.tunnel("/echo").await.echo(b"new").await;
    let taken: usize = logs.iter().map(|log| log.said("taken over").len()).sum();
    assert!(taken >= 1, "{}\n{}", logs[0].text(), logs[1].text());
    for (child, log) in two.iter_mut().zip(&logs) {
        if log.said("taken over").is_empty() {
            assert!(
                log.text().contains("is under way") || log.text().contains("gone away"),
                "{}",
                log.text()
            );
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[tokio::test]
async fn a_successor_that_may_open_too_few_files_is_refused_before_anything_goes() {
    let mut serving = serving(100).await;
    let mut limited = std::process::Command::new("sh");
    limited
        .args([
            "-c",
            "ulimit -n 300; exec \"$@\"",
            "sh",
            crate::support::PROGRAM,
            "serve",
            "--config",
        ])
        .arg(serving.family.config());
    let output = tokio::task::spawn_blocking(move || limited.output().unwrap())
        .await
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        said.contains("the limit on open files is 300, too low") && said.contains("at least 40"),
        "{said}"
    );
    assert!(serving.failed(1).await.contains("the limit on open files is 300"));
    serving.nothing_has_changed().await;
}

/// Its new config has the socket at a place where none can be made.
async fn no_socket_at(serving: &mut Serving, place: &std::path::Path, why: &str) {
    let path = serving.family.config();
    let text = std::fs::read_to_string(&path).unwrap();
    let changed = text.replace(&format!("{:?}", serving.family.socket()), &format!("{place:?}"));
    std::fs::write(&path, changed).unwrap();
    let (went_well, said) = serving.family.try_upgrade().await;
    assert!(!went_well && said.contains("nothing has changed"), "{said}");
    assert!(
        said.contains(&format!("{} cannot be used", place.display())) && said.contains(why),
        "{said}"
    );
    serving.nothing_has_changed().await;
    std::fs::write(&path, text).unwrap();
    serving.can_still_hand_over().await;
}

#[tokio::test]
async fn a_successor_that_cannot_have_a_socket_of_its_own_is_refused() {
    let mut serving = serving(2).await;
    let place = serving.family.folder.path().join("no/folder/handover.sock");
    no_socket_at(&mut serving, &place, "No such file or directory").await;
}

#[cfg(feature = "peers")]
#[tokio::test]
async fn a_successor_on_a_full_disk_is_refused() {
    let mut serving = serving(2).await;
    let disk = serving.family.folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = |arguments: &[&std::ffi::OsStr]| {
        let done = std::process::Command::new(arguments[0]).args(&arguments[1..]).status();
        assert!(done.unwrap().success(), "{arguments:?}");
    };
    // Its root, and room for one more file.
    mount(
        &["mount", "-t", "tmpfs", "-o", "nr_inodes=2", "none"]
            .map(std::ffi::OsStr::new)
            .iter()
            .copied()
            .chain([disk.as_os_str()])
            .collect::<Vec<_>>(),
    );
    std::fs::write(disk.join("full"), "").unwrap();
    no_socket_at(&mut serving, &disk.join("handover.sock"), "No space left on device").await;
    mount(&["umount".as_ref(), "-l".as_ref(), disk.as_os_str()]);
}

/// Told to end while it hands over: what has gone lives on, and nothing is cut.
#[tokio::test]
async fn a_drain_at_the_same_time_cuts_nothing() {
    let mut serving = serving(50).await;
    let family = &serving.family;
    let draining = async {
        family.log().wait_for("handing over to a successor", 1).await;
        signal(family.first(), "TERM");
    };
    let ((went_well, said), ()) = tokio::join!(family.try_upgrade(), draining);
    if went_well {
        for client in &mut serving.clients {
            client.echo(b"still here").await;
        }
    } else {
        assert!(said.contains("nothing has changed"), "{said}");
        for client in &mut serving.clients {
            assert_eq!(client.frame().await, (0x88, 1001_u16.to_be_bytes().to_vec()));
        }
    }
}

/// A predecessor that dies in the middle: what has come lives on, and what has not is counted. One that lives has given up, and the
/// successor ends.
async fn a_predecessor_breaks_off(dies: bool) {
    let (folder, roots) = crate::support::proxy::folder();
    let origin = Origin::demo().await;
    let path = config(
        folder.path(),
        &[format!("http://{}", origin.address)],
        "server.workers = 2",
    );
    let door = folder.path().join("door.sock");
    let listener = tokio::net::UnixListener::bind(&door).unwrap();
    let mut predecessor = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let proxy = headpin::sockets::listen_shared("127.0.0.1:0".parse().unwrap()).unwrap();
    let admin = headpin::sockets::listen_alone("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut successor = std::process::Command::new(crate::support::PROGRAM)
        .args(["serve", "--until-stdin-closes", "--config"])
        .arg(path)
        .env(VARIABLE, &door)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = Log::default();
    log.follow(successor.stderr.take().unwrap());

    let (stream, _) = soon("the successor comes", listener.accept()).await.unwrap();
    let mut channel = Channel::new(stream);
    let hello = channel.receive::<Hello>().await.unwrap().message;
    assert_eq!((hello.formats, hello.wants), (vec![1], Wants::Everything));
    let welcome = Answer::Welcome {
        format: 1,
        version: "0.0.1".to_owned(),
        pid: predecessor.id(),
    };
    channel.send(&welcome, &[]).await.unwrap();
    let at = |listener: &std::net::TcpListener| Listening {
        configured: "127.0.0.1:0".parse().unwrap(),
        bound: listener.local_addr().unwrap(),
    };
    channel.send(&Hears::Proxy(at(&proxy)), &[proxy.as_fd()]).await.unwrap();
    channel.send(&Hears::Admin(at(&admin)), &[admin.as_fd()]).await.unwrap();
    channel.send(&Hears::Listening { sockets: 6 }, &[]).await.unwrap();
    let ready = soon("it is ready", channel.receive::<Says>()).await.unwrap();
    assert!(matches!(ready.message, Says::Ready), "{:?}", ready.message);
    channel
        .send(
            &Hears::Go {
                after: 1000,
                tunnels: 3,
            },
            &[],
        )
        .await
        .unwrap();
    log.wait_for("taking over", 1).await;
    if dies {
        predecessor.kill().unwrap();
    }
    drop(channel);
    let line = log.wait_for("the hand-over broke", 1).await;
    assert_eq!(line["has_died"], dies);
    assert_eq!(line["lost"], "3: the hand-over broke");
    if dies {
        let address = proxy.local_addr().unwrap();
        // Its own copy: nobody accepts from it here.
        drop(proxy);
        let mut client = soon("connect", Client::connect(address, roots)).await;
        client.upgrade("/echo", b"").await;
        client.echo(b"serves").await;
        successor.kill().unwrap();
    } else {
        eventually("the successor ends", || !log.said("ended").is_empty()).await;
        predecessor.kill().unwrap();
    }
    predecessor.wait().unwrap();
    successor.wait().unwrap();
}

#[tokio::test]
async fn who_succeeds_a_process_that_dies_serves_on() {
    a_predecessor_breaks_off(true).await;
}

#[tokio::test]
async fn who_succeeds_a_process_that_gives_up_ends() {
    a_predecessor_breaks_off(false).await;
}

/// A process can only be stopped with SIGSTOP from outside, whatever it does then.
#[tokio::test]
async fn a_real_successor_that_is_stopped_loses_nothing() {
    let mut serving = serving(30).await;
    let family = &serving.family;
    let mut successor = family.another().stdin(Stdio::piped()).spawn().unwrap();
    let log = Log::default();
    log.follow(successor.stderr.take().unwrap());
    signal(successor.id(), "STOP");
    // Wherever that was: before it came, nothing was asked; else it is given up when its time is over.
    for client in &mut serving.clients {
        client.echo(b"still here").await;
    }
    signal(successor.id(), "CONT");
    soon("it has come to something", async {
        while log.said("taken over").is_empty() && successor.try_wait().unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for client in &mut serving.clients {
        client.echo(b"still here").await;
    }
    successor.kill().unwrap();
    successor.wait().unwrap();
}

/// Of another user, as SO_PEERCRED says; the permissions of the file are not the only guard.
#[cfg(feature = "peers")]
#[tokio::test]
async fn nobody_of_another_user_is_let_in() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    let mut serving = serving(2).await;
    let (folder, socket) = (serving.family.folder.path().to_owned(), serving.family.socket());
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o777)).unwrap();
    std::fs::set_permissions(folder.join("key.pem"), std::fs::Permissions::from_mode(0o644)).unwrap();
    // A copy where another user can run it.
    let program = folder.join("headpin");
    std::fs::copy(crate::support::PROGRAM, &program).unwrap();
    let asks = ["upgrade", "--socket", socket.to_str().unwrap()];
    let comes = ["serve", "--config", "headpin.toml"];
    for (arguments, why) in [
        (asks, "is of user 0, and hands over to no process of user 65534"),
        (comes, "is of user 0, and this one of user 65534"),
    ] {
        let mut command = std::process::Command::new(&program);
        command.args(arguments).current_dir(&folder).uid(65_534).gid(65_534);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(said.contains(why), "{said}");
    }
    assert!(
        serving
            .family
            .log()
            .said("not handed over; this process serves on")
            .is_empty()
    );
    serving.nothing_has_changed().await;
}
