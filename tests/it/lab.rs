//! The laboratory, in its short form: real processes, real sockets, and what it claims of them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use headpin::lab::result::LabResult;

fn lab(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headpin"));
    command.arg("lab").args(arguments).stdin(Stdio::null());
    command
}

/// Runs a scenario's short form; its result, and the report.
fn smoke(scenario: &str, sets: &[&str]) -> (LabResult, String) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let mut arguments = vec!["run", scenario, "--smoke", "--out", out];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    let output = lab(&arguments).output().unwrap();
    let told = told(&output);
    let read = |name: String| fs::read_to_string(folder.path().join(name)).unwrap_or_else(|_| panic!("{told}"));
    let result: LabResult = serde_json::from_str(&read(format!("{scenario}-smoke.json"))).unwrap();
    assert!(output.status.success(), "{told}");
    assert!(result.is_good(), "{told}");
    (result, read(format!("{scenario}-smoke.html")))
}

fn told(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .concat()
}

fn holds(result: &LabResult, claim: &str) {
    let found = result.claims.iter().find(|known| known.claim.contains(claim));
    let found = found.unwrap_or_else(|| panic!("nothing is claimed of {claim}: {:?}", result.claims));
    assert!(found.holds, "{found:?}");
}

#[test]
fn heads_pin_slabs_linearly_and_as_many_as_the_model_says() {
    let (result, page) = smoke("head", &[]);
    holds(&result, "under pin memory grows linearly");
    holds(&result, "the model tells the pinned slabs within 10 %");
    holds(&result, "under copy memory is flat within one slab per worker");
    let (pin, copy) = (result.run("pin").unwrap(), result.run("copy").unwrap());
    let growth = pin.growth.unwrap();
    assert!(growth.r2 >= 0.98, "{growth:?}");
    assert!(pin.last().tls.pinned >= 10.0, "{:?}", pin.last());
    assert!(
        copy.samples
            .iter()
            .all(|sample| sample.tls.live <= 1.0 && sample.tls.heads == 0.0)
    );
    assert!(
        result.verdict.contains("bytes of") && result.verdict.contains("alive"),
        "{}",
        result.verdict
    );
    for part in ["<svg", "var(--bug)", "var(--cure)", "prefers-color-scheme", "Seed 1"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(
        !page.contains("http://") || !page.contains("src="),
        "the page needs nothing else"
    );
}

#[test]
fn of_four_corners_only_tunnels_with_uploads_grow() {
    let (result, _) = smoke("uploads", &[]);
    holds(&result, "in one corner of four");
    holds(&result, "under copy memory is flat in every corner");
    assert_eq!(result.runs.len(), 8);
}

#[test]
fn idle_tunnels_are_weighed_before_and_after_a_push() {
    let (result, _) = smoke("idle", &[]);
    for setting in ["pin", "copy"] {
        for phase in ["idle", "after the push"] {
            // What is allocated moves by more than so few tunnels take.
            let name = format!("{setting}, {phase}: RSS");
            let fact = result.facts.iter().find(|fact| fact.name == name).unwrap();
            assert!(fact.value > 0.0, "{fact:?}");
        }
    }
}

#[test]
fn the_usage_trend_finds_the_leak_under_a_bursty_load() {
    let (result, page) = smoke("trend", &[]);
    holds(&result, "the usage trend finds the leak");
    assert!(page.contains("Usage trend"));
}

#[test]
fn without_backpressure_memory_holds_what_slow_readers_leave() {
    let (result, _) = smoke("backpressure", &[]);
    holds(&result, "under queue most of what readers have not taken is in memory");
    holds(&result, "under pipe a slow reader costs less than 1 MiB");
}

#[test]
fn what_cannot_be_run_is_told_with_what_is_accepted() {
    for (arguments, says) in [
        (
            &["run", "heads"][..],
            "accepted: head, uploads, idle, backpressure, trend",
        ),
        (&["run", "head", "--set", "byterate=1"], "did you mean byte_rate?"),
        (&["run", "head", "--set", "byte_rate=fast"], "accepted is one such as"),
        (&["run", "--scenario", "/nowhere.toml"], "cannot read /nowhere.toml"),
    ] {
        let output = lab(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{}", told(&output));
        assert!(told(&output).contains(says), "{}", told(&output));
    }
}

#[test]
fn an_interrupted_run_keeps_what_it_has_and_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let mut running = lab(&["run", "head", "--smoke", "--out", out, "--set", "duration=60s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = running.id();
    let mut says = BufReader::new(running.stderr.take().unwrap()).lines();
    let measuring = says
        .by_ref()
        .map_while(Result::ok)
        .any(|line| line.contains("measuring"));
    assert!(measuring, "it ended before it measured");
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    assert_eq!(
        children.split_whitespace().count(),
        2,
        "the proxy and the origin: {children}"
    );
    assert!(
        Command::new("kill")
            .args(["-INT", &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("PARTIAL"), "{}", told(&output));
    let text = fs::read_to_string(folder.path().join("head-smoke.json")).unwrap();
    let result: LabResult = serde_json::from_str(&text).unwrap();
    assert!(result.partial && result.runs.len() == 1, "{}", told(&output));
    for child in children.split_whitespace() {
        assert!(
            !Path::new(&format!("/proc/{child}")).exists(),
            "process {child} is left"
        );
    }
}

#[test]
fn a_result_is_compared_with_itself_and_the_model_tells_its_numbers() {
    let output = lab(&["model", "--tunnels", "20000", "--tunnel-lifetime", "1m"])
        .output()
        .unwrap();
    assert!(
        output.status.success() && told(&output).contains("In the long run"),
        "{}",
        told(&output)
    );
    let output = lab(&["list"]).output().unwrap();
    assert_eq!(told(&output).lines().count(), 5);
}
