//! Bad input to the lab, its generator and its origin: what is wrong and what to do, before anything starts.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::processes::{entries, headpin_with_files};
use crate::support::program::{headpin, ran, signal};

/// A result to work with: the smallest run there is.
fn result(folder: &TempDir, scenario: &str, sets: &[&str]) -> String {
    let out = folder.path().join(scenario);
    let mut arguments = vec!["lab", "run", scenario, "--smoke", "--out", out.to_str().unwrap()];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    // So short a run need not show what it is for.
    let (code, told) = ran(headpin(&arguments));
    assert!(matches!(code, Some(0 | 1)), "{told}");
    let path = out.join(format!("{scenario}-smoke.json"));
    assert!(path.exists(), "{told}");
    path.to_str().unwrap().to_owned()
}

const SHORT_HEAD: &[&str] = &["duration=600ms"];
const SHORT_IDLE: &[&str] = &["tunnels=2", "settle=100ms"];

/// The result in a file, changed.
fn changed(path: &str, to: &Path, change: impl FnOnce(&mut Value)) -> String {
    let mut value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(to, value.to_string()).unwrap();
    to.to_str().unwrap().to_owned()
}

#[test]
fn unknown_scenarios_keys_and_values_tell_what_was_meant_and_what_is_accepted() {
    for (arguments, says) in [
        (&["lab", "run", "heads"][..], "did you mean head?"),
        (
            &["lab", "run", "zzzz"],
            "accepted: head, uploads, idle, backpressure, trend",
        ),
        (
            &["lab", "run", "head", "--set", "byterate=1"],
            "did you mean \"byte_rate\"?",
        ),
        (
            &["lab", "run", "head", "--set", "byte_rate=fast"],
            "--set byte_rate=fast: byte_rate = \"fast\": accepted is a size from 1B",
        ),
        (&["lab", "run", "head", "--set", "byte_rate=0"], "a size from 1B"),
        (
            &["lab", "run", "--scenario", "/nowhere.toml"],
            "cannot read /nowhere.toml",
        ),
        (&["lab", "model", "--tunnel-rate", "0"], "accepted: a number above 0"),
        (
            &["lab", "drive", "idle", "https://127.0.0.1:1", "--ca", "/ca.pem"],
            "accepted: head, uploads",
        ),
        (
            &["lab", "drive", "head", "http://127.0.0.1:1", "--ca", "/ca.pem"],
            "accepted is https://HOST:PORT",
        ),
        (&["upstream", "--listen", "127.0.0.1:80000"], "accepted: IP:PORT"),
        (
            &["load", "echo", "ws://127.0.0.1:1", "--rate", "-1"],
            "accepted: a number above 0",
        ),
    ] {
        let (code, told) = ran(headpin(arguments));
        assert_eq!(code, Some(64), "{arguments:?}: {told}");
        assert!(told.contains(says), "{arguments:?}: {told}");
    }
}

#[test]
fn what_is_not_there_is_named_with_the_remedy() {
    for (arguments, says) in [
        (
            &["load", "echo", "ws://127.0.0.1:1"][..],
            "start the target there (`headpin serve`), or check host and port",
        ),
        (&["load", "idle", "wss://127.0.0.1:1"], "cannot connect to 127.0.0.1:1"),
        (&["load", "echo", "ws://nowhere.invalid"], "check its name"),
        (
            &["lab", "drive", "head", "https://127.0.0.1:1", "--ca", "/nowhere.pem"],
            "cannot read /nowhere.pem",
        ),
        (
            &["lab", "drive", "head", "https://127.0.0.1:1", "--ca", "Cargo.toml"],
            "no certificate in PEM form",
        ),
        (
            &["upstream", "--listen", "127.0.0.1:0", "--redis", "redis://127.0.0.1:1"],
            "start one there, or leave out --redis",
        ),
        (
            &["upstream", "--listen", "127.0.0.1:0", "--redis", "localhost"],
            "accepted: redis://",
        ),
    ] {
        let (code, told) = ran(headpin(arguments));
        assert_eq!(code, Some(1), "{arguments:?}: {told}");
        assert!(told.contains(says), "{arguments:?}: {told}");
        assert!(!told.contains("listening"), "it does not: {told}");
    }
}

#[test]
fn too_few_open_files_are_told_with_how_many_are_needed_before_anything_starts() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().to_str().unwrap();
    for (arguments, says) in [
        (
            &["lab", "run", "idle", "--smoke", "--set", "tunnels=300", "--out", folder][..],
            "needs 800 open files, and 700 are allowed",
        ),
        (
            &[
                "lab",
                "run",
                "head",
                "--smoke",
                "--set",
                "tunnel_rate=200",
                "--out",
                folder,
            ],
            "lower tunnel_rate",
        ),
        (
            &["load", "idle", "ws://127.0.0.1:1", "-n", "1000"],
            "1072 open files are needed and 700 are allowed",
        ),
    ] {
        let (code, told) = ran(headpin_with_files(700, arguments));
        assert_eq!(code, Some(1), "{arguments:?}: {told}");
        assert!(
            told.contains(says) && told.contains("ulimit -Hn"),
            "{arguments:?}: {told}"
        );
        assert!(!told.contains("warming up"), "{told}");
    }
    assert_eq!(entries(out.path()), [""; 0]);
}

#[test]
fn a_place_that_cannot_be_written_is_told_before_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "kept").unwrap();
    fs::create_dir_all(folder.path().join("taken/head-smoke.json")).unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for out in [
        "/dev/null/results",
        "/proc",
        &place("file"),
        &place("file/results"),
        &place("taken"),
    ] {
        let (code, told) = ran(headpin(&["lab", "run", "head", "--smoke", "--out", out]));
        assert_eq!(code, Some(64), "{out}: {told}");
        assert!(told.contains("cannot write") && told.contains("--out"), "{out}: {told}");
        assert!(!told.contains("warming up"), "{out}: {told}");
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "kept");
}

#[test]
fn a_place_that_goes_away_during_the_run_loses_no_result() {
    let (folder, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let out = folder.path().join("out");
    let arguments = [
        "lab",
        "run",
        "head",
        "--smoke",
        "--set",
        "duration=60s",
        "--out",
        out.to_str().unwrap(),
    ];
    let mut lab = headpin(&arguments).env("TMPDIR", temporary.path()).spawn().unwrap();
    let mut says = BufReader::new(lab.stderr.take().unwrap());
    let mut told = String::new();
    while !told.contains("measuring") {
        assert!(says.read_line(&mut told).unwrap() > 0, "{told}");
    }
    fs::remove_dir(&out).unwrap();
    signal(lab.id(), "TERM");
    says.read_to_string(&mut told).unwrap();
    assert_eq!(lab.wait().unwrap().code(), Some(1), "{told}");
    let kept = entries(temporary.path());
    assert!(
        kept.len() == 1 && told.contains(&format!("kept in {}", temporary.path().join(&kept[0]).display())),
        "{told}"
    );
    let text = fs::read_to_string(temporary.path().join(&kept[0])).unwrap();
    let result: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&result["scenario"], &result["partial"]),
        (&"head".into(), &true.into())
    );
}

#[test]
fn rates_that_cannot_be_reached_are_told_with_what_was_reached() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let run = ["lab", "run", "head", "--smoke", "--out", out, "--set", "duration=600ms"];
    for (sets, says) in [
        // No loopback of any machine carries so much through TLS.
        (
            &["--set", "byte_rate=1000GB"][..],
            ["a second were asked for and", "lower byte_rate"],
        ),
        // Nor does one thread shake so many hands.
        (
            &["--set", "tunnel_rate=30000", "--set", "tunnel_lifetime=5ms"],
            ["tunnels a second were due and", "lower tunnel_rate"],
        ),
    ] {
        let (code, told) = ran(headpin(&[&run[..], sets].concat()));
        // A doubt, not a failure: what is claimed may well hold at the rate that was reached.
        assert!(matches!(code, Some(0 | 1)), "{told}");
        for says in says {
            assert!(told.contains("doubt") && told.contains(says), "{says}: {told}");
        }
        assert!(folder.path().join("head-smoke.json").exists(), "{told}");
    }
}

#[test]
fn a_rate_of_connections_that_cannot_be_reached_is_told_and_whose_limit_it_was() {
    let mut origin = headpin(&["upstream", "--listen", "127.0.0.1:0"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(origin.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let target = line.trim().replace("listening on http", "ws");
    let (code, told) = ran(headpin(&[
        "load", "idle", &target, "-n", "500", "--rate", "5000000", "--hold", "0s",
    ]));
    assert_eq!(code, Some(0), "{told}");
    assert!(
        told.contains("5000000 connections a second were asked for and"),
        "{told}"
    );
    assert!(
        told.contains("lower --rate") || told.contains("more --threads"),
        "{told}"
    );
    signal(origin.id(), "TERM");
    assert!(origin.wait().unwrap().success());
    let (code, told) = ran(headpin(&["load", "idle", &target, "--hold", "0s"]));
    assert!(code == Some(1) && told.contains("start the target there"), "{told}");
}

#[test]
fn what_is_no_result_or_none_of_this_headpin_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let head = result(&folder, "head", SHORT_HEAD);
    let idle = result(&folder, "idle", SHORT_IDLE);
    let path = |name: &str| folder.path().join(name);
    let plain = |name: &str, text: &str| {
        fs::write(path(name), text).unwrap();
        path(name).to_str().unwrap().to_owned()
    };
    let older = changed(&head, &path("older"), |result| {
        result.as_object_mut().unwrap().remove("format");
        result["machine"]["version"] = "0.0.1".into();
    });
    let newer = changed(&head, &path("newer"), |result| result["format"] = 1_000.into());
    let torn = plain("torn", &fs::read_to_string(&head).unwrap()[..1_000]);
    let holed = changed(&head, &path("holed"), |result| {
        result["runs"][0]["samples"] = "none".into()
    });
    for (file, says) in [
        (path("nowhere").to_str().unwrap(), "cannot read"),
        (folder.path().to_str().unwrap(), "cannot read"),
        (&plain("empty", ""), "is no result of the lab"),
        (&plain("text", "<html>"), "is no result of the lab"),
        (&plain("object", "{}"), "it has no scenario and no runs"),
        (&plain("list", "[1]"), "it has no scenario and no runs"),
        (&torn, "is no result of the lab"),
        (&holed, "is no result of the lab"),
        (&older, "was written by headpin 0.0.1 in format 0"),
        (&newer, "in format 1000"),
    ] {
        for arguments in [
            &["lab", "compare", &head, file][..],
            &["lab", "compare", file, &head],
            &["lab", "report", file],
        ] {
            let (code, told) = ran(headpin(arguments));
            assert_eq!(code, Some(64), "{arguments:?}: {told}");
            assert!(told.contains(says) && told.contains(file), "{arguments:?}: {told}");
        }
    }
    let (code, told) = ran(headpin(&["lab", "compare", &head, &idle]));
    assert_eq!(code, Some(64), "{told}");
    assert!(told.contains("A is a result of head and B of idle"), "{told}");

    let partial = changed(&head, &path("partial"), |result| {
        result["partial"] = true.into();
        result["machine"]["commit"] = "another".into();
    });
    let (code, told) = ran(headpin(&["lab", "compare", &head, &partial]));
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("B is partial") && told.contains("B of headpin"), "{told}");

    let (code, told) = ran(headpin(&["lab", "compare", &head, &head]));
    assert!(code == Some(0) && !told.contains("doubt"), "{told}");
    let (code, told) = ran(headpin(&["lab", "report", &head, "--out", "/dev/null/page.html"]));
    assert!(
        code == Some(64) && told.contains("cannot write /dev/null/page.html"),
        "{told}"
    );
}
