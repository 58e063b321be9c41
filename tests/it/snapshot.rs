//! The heap snapshot of a running proxy, held against the strict checker of the format, and the heap profile's refusal.

use std::path::{Path, PathBuf};
use std::process::Command;

use headpin::observe::labels::{DumpKind, HeadPolicy, SlabClass};
use serde_json::Value;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::{frame, upgrade_request};
use crate::support::{Client, Origin, Proxy, eventually, soon};

const SETTINGS: &str = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 2\n[slabs]\ntls_capacity = \"64KiB\"\n\
                        tcp_capacity = \"64KiB\"";

/// Tunnels, and enough traffic to fill slabs in between.
async fn work(proxy: &Proxy, tunnels: usize) -> Vec<Client> {
    let mut open = Vec::new();
    for _ in 0..tunnels {
        let mut tunnel = proxy.connect().await;
        tunnel.upgrade("/echo", &frame(0x82, b"head")).await;
        assert_eq!(tunnel.frame().await, (0x82, b"head".to_vec()));
        for _ in 0..4 {
            tunnel.echo(&[7; 8 * 1024]).await;
        }
        open.push(tunnel);
    }
    open
}

fn headpin() -> Command {
    Command::new(env!("CARGO_BIN_EXE_headpin"))
}

/// `headpin snapshot`; its exit code and what it says.
async fn fetch(admin: &str, out: &Path) -> (i32, String) {
    let mut command = headpin();
    command.args(["snapshot", "--admin", admin, "--out"]).arg(out);
    let output = soon(
        "headpin snapshot",
        tokio::task::spawn_blocking(move || command.output()),
    )
    .await
    .unwrap()
    .unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), said)
}

async fn dump(proxy: &Proxy, name: &str) -> PathBuf {
    let file = proxy.folder.path().join(name);
    let (code, said) = fetch(&format!("http://{}", proxy.admin), &file).await;
    assert_eq!(code, 0, "{said}");
    file
}

/// The checker's report; fails on any fault.
fn check(file: &Path, class: &str) -> Value {
    let output = Command::new("python3")
        .arg("tests/snapshot/check.py")
        .arg(file)
        .args(["--json", "--class", class])
        .output()
        .expect("python3 is installed");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["faults"], serde_json::json!([]), "{report:#}");
    assert_eq!(report["warnings"], serde_json::json!([]), "{report:#}");
    assert!(output.status.success());
    report
}

/// The ids of a class's nodes.
fn ids(file: &Path, class: &str) -> Vec<u64> {
    let json: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let nodes = json["nodes"].as_array().unwrap().chunks(7);
    let named = nodes.filter(|node| {
        let name = &json["strings"][node[1].as_u64().unwrap() as usize];
        name == class && (node[0] == 3 || node[0] == 8)
    });
    named.map(|node| node[2].as_u64().unwrap()).collect()
}

async fn api(proxy: &Proxy, path: &str) -> Value {
    serde_json::from_str(&proxy.admin("GET", path, "").await.1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_is_faultless_and_says_what_the_api_says() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Pin, SETTINGS);
    let tunnels = work(&proxy, 12).await;
    let first = dump(&proxy, "first.heapsnapshot").await;
    let report = check(&first, "Slab");
    let slabs = api(&proxy, "/api/slabs").await;
    let live = |class: &str| {
        let slabs = slabs["slabs"].as_array().unwrap().iter();
        slabs.filter(|slab| slab["class"] == class).count()
    };
    let groups = &report["groups"];
    // Nothing was freed, so that there are no spares.
    assert_eq!(slabs["spares"], 0);
    for (group, class, label) in [("Slab", "tls", SlabClass::Tls), ("TcpSlab", "tcp", SlabClass::Tcp)] {
        assert!(live(class) >= 3, "{slabs:#}");
        assert_eq!(groups[group]["count"], live(class), "{report:#}");
        let bytes = proxy.metrics.slab_live_bytes[label].get();
        assert_eq!(groups[group]["shallow"], bytes, "{report:#}");
    }
    for (group, count) in [
        ("WebSocketConnection", 12),
        ("TlsState", 12),
        ("Relay", 24),
        ("Head", 24),
        ("SlabSlice", 24),
        ("Worker", 2),
    ] {
        assert_eq!(groups[group]["count"], count, "{group}: {report:#}");
    }
    let paths = report["class"]["retainer_paths"].as_object().unwrap();
    assert_eq!(proxy.metrics.dumps_total[DumpKind::HeapSnapshot].get(), 1);
    let size = std::fs::metadata(&first).unwrap().len();
    assert_eq!(proxy.metrics.dump_bytes_total[DumpKind::HeapSnapshot].get(), size);
    let leak = "parent in SlabSlice <- slice in Head <- head in WebSocketConnection <- #N N in ConnectionRegistry <- \
                connections in Worker <- worker N in root";
    assert_eq!(paths[leak], 12, "{paths:#?}");
    // From DevTools' @ back to the API.
    let (given, connections) = (ids(&first, "Slab"), api(&proxy, "/api/connections").await);
    let slabs = slabs["slabs"].as_array().unwrap().iter();
    let told: Vec<u64> = slabs
        .filter(|slab| slab["class"] == "tls")
        .map(|slab| slab["snapshot_id"].as_u64().unwrap())
        .collect();
    assert!(told.iter().all(|id| given.contains(id)) && told.len() == given.len());
    let given = ids(&first, "WebSocketConnection");
    for connection in connections["connections"].as_array().unwrap() {
        assert!(given.contains(&connection["snapshot_id"].as_u64().unwrap()));
    }
    drop(tunnels);
    crate::support::proxy::all_gone(&proxy.metrics).await;
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_stay_between_snapshots_and_the_flip_takes_the_slabs_away() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Pin, SETTINGS);
    let mut tunnels = work(&proxy, 6).await;
    let first = dump(&proxy, "1.heapsnapshot").await;
    tunnels.extend(work(&proxy, 4).await);
    let second = dump(&proxy, "2.heapsnapshot").await;
    let (status, _) = proxy
        .admin("PUT", "/api/head_policy", r#"{"head_policy": "copy"}"#)
        .await;
    assert_eq!(status, 200);
    let third = dump(&proxy, "3.heapsnapshot").await;
    for file in [&first, &second, &third] {
        check(file, "Slab");
    }
    for class in [
        "Worker",
        "ConnectionRegistry",
        "WebSocketConnection",
        "Head",
        "SlabSlice",
        "Slab",
    ] {
        let (before, after) = (ids(&first, class), ids(&second, class));
        assert!(before.iter().all(|id| after.contains(id)), "{class} lost an id");
        let highest = before.iter().max().unwrap();
        let new = after.iter().filter(|id| !before.contains(id));
        assert!(
            new.clone().all(|id| id > highest),
            "{class}: a new object has an old id"
        );
    }
    assert_eq!(ids(&second, "WebSocketConnection"), ids(&third, "WebSocketConnection"));
    assert_eq!(ids(&third, "Head").len() + ids(&third, "SlabSlice").len(), 0);
    let left = ids(&third, "Slab");
    assert!(left.len() <= 2, "one a worker at most: {left:?}");
    assert!(left.iter().all(|id| ids(&second, "Slab").contains(id)));
    drop(tunnels);
    crate::support::proxy::all_gone(&proxy.metrics).await;
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_under_way_shows_the_slices_that_it_keeps() {
    // Half a 101, and then nothing.
    let origin = Origin::scripted(|mut origin| async move {
        origin.request().await;
        origin.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgr").await;
        origin.rest().await;
    })
    .await;
    let proxy = Proxy::start(&origin, HeadPolicy::Pin, SETTINGS);
    let mut client = proxy.connect().await;
    client.send(upgrade_request("/echo").as_bytes()).await;
    eventually("half a 101", || proxy.metrics.slabs_live[SlabClass::Tcp].get() == 1).await;
    let file = dump(&proxy, "upgrading.heapsnapshot").await;
    for (class, way) in [
        (
            "Slab",
            "parent in SlabSlice <- last_slice in HttpConnection <- #N N in ConnectionRegistry",
        ),
        (
            "TcpSlab",
            "parent in SlabSlice <- last_slice at N in tcp-N-N in UpstreamRegistry <- upstreams in Worker",
        ),
    ] {
        let report = check(&file, class);
        assert_eq!(report["groups"]["HttpConnection"]["count"], 1, "{report:#}");
        let paths = report["class"]["retainer_paths"].as_object().unwrap();
        assert!(paths.keys().any(|path| path.starts_with(way)), "{paths:#?}");
    }
    drop(client);
    crate::support::proxy::all_gone(&proxy.metrics).await;
    proxy.stop().await;
}

/// For a snapshot that is larger than the buffers of hyper and of the kernel between the proxy and who does not read.
const MANY: usize = 1_500;

/// Asks for a snapshot and reads only the head of the answer.
async fn ask_and_stall(proxy: &Proxy) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    // The size of the sender's buffer follows from it; loopback's own would let the kernel take megabytes.
    SockRef::from(&socket).set_tcp_mss(536).unwrap();
    let mut stalled = socket.connect(proxy.admin).await.unwrap();
    stalled
        .write_all(format!("GET /snapshot HTTP/1.1\r\nHost: {}\r\n\r\n", proxy.admin).as_bytes())
        .await
        .unwrap();
    let mut head = [0; 15];
    soon("the head of a snapshot", stalled.read_exact(&mut head))
        .await
        .unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    stalled
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_at_a_time_and_who_does_not_read_is_given_up() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(
        &origin,
        HeadPolicy::Copy,
        &SETTINGS.replace("workers = 2", "workers = 1"),
    );
    let mut tunnels = Vec::new();
    for _ in 0..MANY {
        tunnels.push(proxy.tunnel("/echo").await);
    }
    let admin = format!("http://{}", proxy.admin);
    let file = proxy.folder.path().join("second.heapsnapshot");

    let stalled = ask_and_stall(&proxy).await;
    let (status, answer) = proxy.admin("GET", "/snapshot", "").await;
    assert_eq!(status, 409, "{answer}");
    assert!(answer.contains("one at a time"), "{answer}");
    let (code, said) = fetch(&admin, &file).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("one at a time") && !file.exists(), "{said}");
    tunnels[0].echo(b"traffic goes on").await;

    // Who leaves makes room at once.
    drop(stalled);
    soon("room for the next", async {
        while fetch(&admin, &file).await.0 != 0 {}
    })
    .await;
    // The one worker has told its connections in two goes.
    let report = check(&file, "Slab");
    assert_eq!(report["groups"]["WebSocketConnection"]["count"], MANY, "{report:#}");
    drop(tunnels);
    crate::support::proxy::all_gone(&proxy.metrics).await;
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stalls_for_too_long_is_given_up() {
    let origin = Origin::demo().await;
    let proxy = Proxy::with_admin(&origin, HeadPolicy::Copy, SETTINGS, "dump_timeout = \"500ms\"");
    let mut tunnels = Vec::new();
    for _ in 0..MANY {
        tunnels.push(proxy.tunnel("/echo").await);
    }
    let mut stalled = ask_and_stall(&proxy).await;
    soon("room for the next, while the first is still connected", async {
        while proxy.admin("HEAD", "/snapshot", "").await.0 != 200 {}
    })
    .await;
    // What it reads now does not look like all.
    SockRef::from(&stalled).set_recv_buffer_size(4 << 20).unwrap();
    let mut rest = Vec::new();
    soon("the end", stalled.read_to_end(&mut rest)).await.unwrap();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "the last chunk is missing");
    assert!(proxy.metrics.dumps_abandoned_total[DumpKind::HeapSnapshot].get() >= 1);
    tunnels[0].echo(b"alive").await;
    drop(tunnels);
    crate::support::proxy::all_gone(&proxy.metrics).await;
    proxy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_what_is_wrong_and_leaves_nothing() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, SETTINGS);
    let folder = tempfile::tempdir().unwrap();
    let (file, admin) = (folder.path().join("s.heapsnapshot"), format!("http://{}", proxy.admin));
    std::fs::write(&file, "mine").unwrap();
    for (admin, out, expected) in [
        (admin.as_str(), file.as_path(), "is there already"),
        (
            admin.as_str(),
            &folder.path().join("no/such.heapsnapshot"),
            "cannot write",
        ),
        ("http://127.0.0.1:1", &folder.path().join("new"), "cannot reach"),
        (
            "https://127.0.0.1:1",
            &folder.path().join("new"),
            "must be like http://",
        ),
        (
            &format!("http://{}", origin.address),
            &folder.path().join("new"),
            "is this headpin's admin endpoint?",
        ),
        (admin.as_str(), Path::new("/dev/full"), "--force"),
    ] {
        let (code, said) = fetch(admin, out).await;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(expected), "{expected}: {said}");
    }
    // A limit on the size of files, in the place of a disk that is full.
    let full = folder.path().join("full.heapsnapshot");
    let mut command = Command::new("sh");
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$@\"";
    command.args([
        "-c",
        script,
        "sh",
        env!("CARGO_BIN_EXE_headpin"),
        "snapshot",
        "--admin",
        &admin,
        "--out",
    ]);
    command.arg(&full);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write") && said.contains("too large"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing is left behind"
    );
    proxy.stop().await;
}

#[tokio::test]
async fn a_heap_profile_that_is_off_says_how_to_turn_it_on() {
    let origin = Origin::demo().await;
    let proxy = Proxy::start(&origin, HeadPolicy::Copy, SETTINGS);
    let (status, answer) = proxy.admin("GET", "/debug/pprof/heap", "").await;
    assert_eq!(status, 404, "{answer}");
    assert!(answer.contains("MALLOC_CONF=prof:true"), "{answer}");
    assert_eq!(proxy.admin("POST", "/snapshot", "").await.0, 405);
    assert_eq!(proxy.admin("POST", "/debug/pprof/heap", "").await.0, 405);
    eventually("nothing is open", || {
        proxy.metrics.downstream_connections_open.get() == 0
    })
    .await;
    proxy.stop().await;
}
