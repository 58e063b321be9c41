//! The laboratory, in its short form: real processes, real sockets, and what it claims of them.

use std::fs;
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
