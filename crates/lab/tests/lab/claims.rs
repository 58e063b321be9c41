//! The laboratory, in its short form: real processes, real sockets, and what it claims of them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use headpin_lab::result::LabResult;

fn lab(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headpin-lab"));
    command.arg("lab").args(arguments).stdin(Stdio::null());
    command
}

/// How often a scenario may meet a machine that has other things to do.
const ATTEMPTS: usize = 4;

/// Runs a scenario's short form; its result, and the report.
fn smoke(scenario: &str, more: &[&str]) -> (LabResult, String) {
    smoke_into(tempfile::tempdir().unwrap().path(), scenario, more)
}

/// The same, and both stay in `folder`.
fn smoke_into(folder: &Path, scenario: &str, more: &[&str]) -> (LabResult, String) {
    let (result, page, told) = measure_into(folder, scenario, more);
    assert!(result.is_good(), "{told}");
    (result, page)
}

/// The same, whether its claims hold or not; also what it told. A result that itself says the load did not come as asked
/// shows nothing about the proxy, and is measured again.
fn measure_into(folder: &Path, scenario: &str, more: &[&str]) -> (LabResult, String, String) {
    let out = folder.to_str().unwrap();
    let mut arguments = vec!["run", scenario, "--smoke", "--out", out];
    arguments.extend(more);
    let mut all_told = String::new();
    for _ in 0..ATTEMPTS {
        let output = lab(&arguments).output().unwrap();
        all_told += &told(&output);
        let read = |name: String| fs::read_to_string(folder.join(name)).unwrap_or_else(|_| panic!("{all_told}"));
        let result: LabResult = serde_json::from_str(&read(format!("{scenario}-smoke.json"))).unwrap();
        let held_up = [
            " late;",
            "the generator was the limit",
            "the generator or the machine was the limit",
        ];
        if result
            .warnings
            .iter()
            .any(|warning| held_up.iter().any(|why| warning.contains(why)))
        {
            continue;
        }
        assert_eq!(output.status.success(), result.is_good(), "{all_told}");
        let page = read(format!("{scenario}-smoke.html"));
        return (result, page, all_told);
    }
    panic!("the machine is too busy to measure anything: {all_told}");
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
    let (result, page) = smoke("uploads", &[]);
    holds(&result, "in one corner of four");
    holds(&result, "under copy memory is flat in every corner");
    assert_eq!(result.runs.len(), 8);
    for run in &result.runs {
        let grows = run.corner.as_deref() == Some("both") && run.setting == "pin";
        // Capacities: one slab of each class is always there, and under the bug many are.
        let slabs = run.last().tls.live;
        assert_eq!(slabs > 5.0, grows, "{}: {slabs}", run.name());
    }
    for title in ["Resident memory: nothing", "Live slabs: both", "Heads held: both"] {
        assert!(page.contains(title), "{title}");
    }
}

#[test]
fn idle_tunnels_are_weighed_by_part_before_and_after_a_push() {
    let (result, page) = smoke("idle", &[]);
    for setting in ["pin", "copy"] {
        for phase in ["idle", "after the push"] {
            let parts: Vec<_> = result
                .facts
                .iter()
                .filter_map(|fact| Some((fact.name.strip_prefix(&format!("{setting}, {phase}: "))?, fact.value)))
                .collect();
            // What is allocated moves by more than so few tunnels take.
            assert!(parts[0].0 == "RSS" && parts[0].1 > 0.0, "{parts:?}");
            let user = parts[1..].iter().filter(|part| !part.0.starts_with("kernel: "));
            let sum: f64 = user.map(|part| part.1).sum();
            assert!(
                (sum - parts[0].1).abs() < 1_024.0,
                "the parts are not the whole: {parts:?}"
            );
            // Whose buffers the kernel's are, is said.
            let own = parts.iter().any(|part| part.0.contains("the proxy's own sockets"));
            let all = parts.iter().any(|part| part.0.contains("the whole network namespace"));
            assert!(own != all, "{parts:?}");
        }
    }
    assert!(page.contains("What one tunnel costs, in bytes") && page.contains("user space: RSS"));
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
fn repetitions_are_interleaved_and_told_as_median_and_spread() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let shorter = ["--repeat", "3", "--set", "duration=2s", "--set", "seed=9"];
    // So short that chance may take a claim of one repetition beyond its bound.
    let (result, page, _) = measure_into(folder.path(), "head", &shorter);
    let order: Vec<_> = result
        .runs
        .iter()
        .map(|run| (run.setting.as_str(), run.repetition))
        .collect();
    assert_eq!(
        order,
        [
            ("pin", 1),
            ("copy", 1),
            ("pin", 2),
            ("copy", 2),
            ("pin", 3),
            ("copy", 3)
        ]
    );
    let seeds: Vec<u64> = result.runs.iter().map(|run| run.seed).collect();
    assert!(
        seeds[0] == 9 && seeds[0] == seeds[1] && seeds[2] == seeds[3] && seeds[2] != seeds[4],
        "{seeds:?}"
    );
    let pinned = result
        .facts
        .iter()
        .find(|fact| fact.name == "pin: pinned bytes")
        .unwrap();
    assert!(
        pinned.each.len() == 3 && pinned.each.contains(&pinned.value),
        "{pinned:?}"
    );
    assert!(
        result
            .claims
            .iter()
            .all(|claim| claim.because.contains("of 3 repetitions"))
    );
    assert!(page.contains("Medians of 3 repetitions") && page.contains("The heavy line is repetition"));

    let json = path("head-smoke.json");
    let output = lab(&["compare", &json, &json]).output().unwrap();
    let text = told(&output);
    assert!(
        output.status.success() && text.contains("no difference beyond the spread"),
        "{text}"
    );
    assert!(!text.contains("  beyond the spread"), "{text}");

    // The same result beside the model.
    for (file, parts) in [
        ("model.svg", ["<svg", "prefers-color-scheme: dark", "measured"]),
        ("model.html", ["<!doctype html>", "var(--simulated)", "measured"]),
    ] {
        let out = path(file);
        let output = lab(&["model", "--tunnels", "10000", "--measured", &json, "--out", &out])
            .output()
            .unwrap();
        assert!(
            output.status.success() && told(&output).contains("the measurement is"),
            "{}",
            told(&output)
        );
        let drawn = fs::read_to_string(&out).unwrap();
        for part in parts {
            assert!(drawn.contains(part), "{part} is missing in {file}");
        }
    }
}

#[test]
fn a_result_without_pinned_slabs_cannot_be_held_against_the_model() {
    let folder = tempfile::tempdir().unwrap();
    smoke_into(folder.path(), "idle", &["--set", "tunnels=5"]);
    let json = folder.path().join("idle-smoke.json");
    let output = lab(&["model", "--tunnels", "100", "--measured", json.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(
        !output.status.success() && told(&output).contains("accepted are results of head"),
        "{}",
        told(&output)
    );
}

#[test]
fn a_result_says_what_there_is_to_doubt() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let sets = ["--set", "duration=2s", "--set", "tick=200ms"];
    let output = lab(&[&["run", "head", "--smoke", "--out", out][..], &sets].concat())
        .output()
        .unwrap();
    let text =
        fs::read_to_string(folder.path().join("head-smoke.json")).unwrap_or_else(|_| panic!("{}", told(&output)));
    let result: LabResult = serde_json::from_str(&text).unwrap();
    let doubted = |doubt: &str| result.warnings.iter().any(|warning| warning.contains(doubt));
    assert!(doubted("samples are few"), "{:?}", result.warnings);
    assert_eq!(doubted("debug build"), cfg!(debug_assertions));
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
