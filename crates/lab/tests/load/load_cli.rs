//! `headpin load` and `headpin upstream` as programs.

use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::support::demo::DemoOrigin;
use crate::support::nginx::Nginx;
use crate::support::pki::Pki;
use crate::support::soon;

fn headpin(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headpin-lab"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn output(arguments: &[&str]) -> Output {
    soon("the command's end", headpin(arguments).output()).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Asks it to end, as Ctrl-C does.
async fn interrupt(child: &Child) {
    let pid = child.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .await
            .unwrap()
            .success()
    );
}

#[tokio::test]
async fn a_good_run_prints_its_report_and_succeeds() {
    let origin = DemoOrigin::start().await;
    let target = format!("ws://{}", origin.address);
    let run = output(&["load", "echo", &target, "-n", "4", "--size", "1KiB", "--count", "10"]).await;
    let report = text(&run.stdout);
    assert!(run.status.success(), "{report}{}", text(&run.stderr));
    assert!(
        report.contains("40 messages verified") && report.contains("p99.9"),
        "{report}"
    );

    let run = output(&["load", "echo", &target, "-n", "4", "--count", "10", "--json"]).await;
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!((&report["units"], &report["partial"]), (&40.into(), &false.into()));
    assert_eq!(report["work"]["kind"], "echo");
    assert!(report["latency"]["p99_us"].as_f64().unwrap() > 0.0);
    origin.shutdown().await;
}

#[tokio::test]
async fn a_fault_makes_the_run_fail_and_usage_is_64() {
    let origin = DemoOrigin::start().await;
    let target = format!("ws://{}", origin.address);
    // The origin does not echo there.
    let run = output(&[
        "load",
        "echo",
        &format!("{target}/upload"),
        "-n",
        "1",
        "--timeout",
        "200ms",
    ])
    .await;
    assert_eq!(run.status.code(), Some(1), "{}", text(&run.stdout));
    assert!(
        text(&run.stdout).contains("FAULT        1 × Timeout"),
        "{}",
        text(&run.stdout)
    );
    for (arguments, says) in [
        (&["load", "echo", "localhost"][..], "accepted: wss://"),
        (&["load", "echo", &target, "--rate", "0"], "accepted: a number above 0"),
        (
            &["load", "idle", &target, "--hold", "10"],
            "accepted is one such as \"500ms\"",
        ),
        (
            &["load", "upload", &target, "--size", "many"],
            "accepted is one such as \"512B\"",
        ),
        (&["upstream", "--listen", "here"], "--listen"),
    ] {
        let run = output(arguments).await;
        assert_eq!(run.status.code(), Some(64), "{arguments:?}");
        assert!(text(&run.stderr).contains(says), "{arguments:?}: {}", text(&run.stderr));
    }
    origin.shutdown().await;
}

#[tokio::test]
async fn a_script_can_wait_until_tunnels_are_open_and_end_the_holding() {
    let origin = DemoOrigin::start().await;
    let target = format!("ws://{}", origin.address);
    let mut run = headpin(&[
        "load",
        "idle",
        &target,
        "-n",
        "20",
        "--announce-ready",
        "--until-stdin-closes",
        "--json",
    ])
    .stdin(Stdio::piped())
    .spawn()
    .unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
    let ready = soon("readiness", lines.next_line()).await.unwrap().unwrap();
    assert_eq!(ready, r#"{"ready":20}"#);
    drop(run.stdin.take());
    let report: Value = serde_json::from_str(&soon("the report", lines.next_line()).await.unwrap().unwrap()).unwrap();
    assert_eq!(
        (&report["partial"], &report["connections"]["opened"]),
        (&false.into(), &20.into())
    );
    assert!(soon("the end", run.wait()).await.unwrap().success());
    origin.shutdown().await;
}

#[tokio::test]
async fn an_interrupted_run_prints_what_it_has() {
    let origin = DemoOrigin::start().await;
    let target = format!("ws://{}", origin.address);
    let mut run = headpin(&["load", "echo", &target, "--duration", "1h", "--announce-ready"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
    soon("readiness", lines.next_line()).await.unwrap();
    interrupt(&run).await;
    let first = soon("the report", lines.next_line()).await.unwrap().unwrap();
    assert!(first.contains("PARTIAL"), "{first}");
    assert_eq!(soon("the end", run.wait()).await.unwrap().code(), Some(1));
    origin.shutdown().await;
}

#[tokio::test]
async fn an_idle_tunnel_costs_the_generator_a_few_kilobytes() {
    let (pki, origin) = (Pki::new(), DemoOrigin::start().await);
    let nginx = Nginx::start(&pki, origin.address).await;
    let ca = pki.ca().display().to_string();
    let run = output(&[
        "load",
        "idle",
        &nginx.url(),
        "--ca",
        &ca,
        "-n",
        "1500",
        "--hold",
        "0s",
        "--json",
    ])
    .await;
    let report: Value = serde_json::from_slice(&run.stdout).unwrap_or_else(|_| panic!("{}", text(&run.stderr)));
    let each = report["generator"]["rss_per_connection"].as_f64().unwrap();
    assert!(each < 8_000.0, "{each} B of RSS a connection");
    drop(nginx);
    origin.shutdown().await;
}

#[tokio::test]
async fn the_origin_says_where_it_listens_and_ends_when_asked() {
    let mut upstream = headpin(&["upstream", "--listen", "127.0.0.1:0"]).spawn().unwrap();
    let mut lines = BufReader::new(upstream.stdout.take().unwrap()).lines();
    let line = soon("the first line", lines.next_line()).await.unwrap().unwrap();
    let address = line.strip_prefix("listening on http://").unwrap();
    let target = format!("ws://{address}");
    let run = output(&["load", "echo", &target, "-n", "1", "--count", "3"]).await;
    assert!(run.status.success(), "{}", text(&run.stdout));

    let taken = output(&["upstream", "--listen", address]).await;
    assert_eq!(taken.status.code(), Some(1));
    assert!(
        text(&taken.stderr).contains("choose another with --listen"),
        "{}",
        text(&taken.stderr)
    );
    let lost = output(&["upstream", "--listen", "127.0.0.1:0", "--redis", "redis://127.0.0.1:1"]).await;
    assert!(
        text(&lost.stderr).contains("leave out --redis"),
        "{}",
        text(&lost.stderr)
    );

    interrupt(&upstream).await;
    assert!(soon("the end", upstream.wait()).await.unwrap().success());
}
