//! Faults that show only when several values are known.

use std::path::Path;
use std::time::Duration;

use headpin_settings::kind::{LONGEST, SHORTEST, count, duration, list};
use headpin_settings::{Layer, NamedFiles, Settings as _, Sources, read, settings};

settings! {
    /// How long a run takes.
    pub struct Run {
        /// All of it.
        duration: Duration = duration(SHORTEST..=LONGEST), required(r#""10s""#), at_start;
        /// A part of it.
        tick: Duration = duration(SHORTEST..=LONGEST), default(Duration::from_secs(1)), at_start;
        /// How many at each step.
        steps: Vec<usize> = list(count(1..=9), "[1, 2]"), default(vec![1, 2]), at_start;
    }
    sections {
        /// Where it ends.
        end: End,
    }
}

settings! {
    /// Where it ends.
    pub struct End {
        /// The last step.
        last: usize = count(1..=9), default(2), at_start;
    }
}

fn check(run: &Run, sources: &Sources<'_>) {
    if run.duration < run.tick * 10 {
        sources.refuse_together(&["duration", "tick"], "accepted is ten ticks".to_owned());
    }
    if run.duration > run.tick * 20 {
        sources.refuse_together(&["duration", "tick"], "accepted is twenty ticks".to_owned());
    }
    if run.steps.last() != Some(&run.end.last) {
        sources.refuse_together(&["steps", "end.last"], "accepted is the same end".to_owned());
    }
    if run.tick.as_secs() != 1 && run.end.last != 3 {
        sources.refuse_together(&["tick", "end.last"], "accepted is a last step of 3".to_owned());
    }
}

/// The faults of `base`, over which `options` lie.
fn faults(base: &str, options: &[&str]) -> Vec<String> {
    let mut layers = vec![Layer::file(Path::new("base.toml"), base)];
    layers.extend(options.iter().map(|option| Layer::option(option, option)));
    let run = read(layers, NamedFiles::NotLookedAt, |section, sources| {
        let run = Run::read(section);
        check(&run, sources);
        run
    });
    match run {
        Ok(_) => Vec::new(),
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
    }
}

const BASE: &str = "duration = '10s'\ntick = '1s'\n";

#[test]
fn the_key_that_was_written_last_is_blamed() {
    assert!(faults(BASE, &[]).is_empty());
    assert_eq!(
        faults(BASE, &["tick = '60s'", "end.last = 3", "steps = [3]"]),
        ["tick = '60s': tick = '60s': accepted is ten ticks"]
    );
    assert_eq!(
        faults(BASE, &["duration = '5s'"]),
        ["duration = '5s': duration = '5s': accepted is ten ticks"]
    );
    assert_eq!(
        faults("tick = '1s'\nduration = '5s'\n", &[]),
        ["base.toml:2: duration = '5s': accepted is ten ticks"]
    );
    assert_eq!(
        faults("duration = '10s'\nsteps = [3]\n", &[]),
        ["base.toml:2: steps = [3]: accepted is the same end"]
    );
}

#[test]
fn a_faulty_value_is_not_compared_with_others() {
    for (base, options, key) in [
        (BASE, "duration = 10", "duration = 10"),
        (BASE, "tick = 'long'", "tick = 'long'"),
        (BASE, "steps = [1, 10]", "steps[1] = 10"),
        ("duration = '10s'\nsteps = [3]\n", "end = 3", "end = 3"),
        ("tick = '1s'\n", "end.last = 2", "duration: missing"),
    ] {
        let told = faults(base, &[options]);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(key), "{told:?}");
    }
}

#[test]
fn every_combination_that_is_refused_is_reported() {
    let told = faults("duration = '10s'\ntick = '60s'\nend.last = 2\n", &[]);
    assert_eq!(
        told,
        [
            "base.toml:1: duration = '10s': accepted is ten ticks",
            "base.toml:2: tick = '60s': accepted is a last step of 3",
        ]
    );
    let told = faults("duration = '10s'\n[end]\nlast = 4\n", &["tick = '2s'"]);
    assert_eq!(
        told,
        [
            "base.toml:3: end.last = 4: accepted is the same end",
            "tick = '2s': tick = '2s': accepted is ten ticks",
            "tick = '2s': tick = '2s': accepted is a last step of 3",
        ]
    );
}
