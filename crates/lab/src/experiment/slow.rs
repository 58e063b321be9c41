//! Large downloads to slow readers, with and without backpressure.

use std::num::NonZeroUsize;
use std::time::Duration;

use headpin::observe::labels::{HeadPolicy, RelayPolicy};

use super::Lab;
use crate::children::{Stage, Toggles};
use crate::load::{self, Carrier, Plan, Sources, Trust, Until, Work};
use crate::observe::{Observer, Sample};
use crate::result::{Fact, Run};
use crate::scenario::Backpressure;

/// How long a connection may take to open.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn backpressure(lab: &Lab<'_>, slow: &Backpressure, runs: &mut Vec<Run>) -> anyhow::Result<()> {
    for policy in [RelayPolicy::Queue, RelayPolicy::Pipe] {
        if lab.stop.is_cancelled() {
            break;
        }
        runs.push(one(lab, slow, policy).await?);
    }
    Ok(())
}

async fn one(lab: &Lab<'_>, slow: &Backpressure, relay_policy: RelayPolicy) -> anyhow::Result<Run> {
    let toggles = Toggles {
        head_policy: HeadPolicy::Copy,
        relay_policy,
    };
    let mut stage = Stage::start(&lab.scenario.common, toggles).await?;
    let mut run = Run {
        setting: relay_policy.to_string(),
        proxy_config: stage.config.clone(),
        ..Run::default()
    };
    (lab.say)(&format!(
        "{relay_policy}: {} slow readers for {:?}",
        slow.readers, slow.duration
    ));
    let plan = Plan {
        target: format!("wss://localhost:{}", stage.address.port())
            .parse()
            .map_err(anyhow::Error::msg)?,
        trust: Trust::Ca(stage.ca_file.clone()),
        sources: Sources::default(),
        headers: Vec::new(),
        rate: None,
        threads: NonZeroUsize::MIN,
        timeout: PATIENCE,
        pid: None,
        work: Work::Slow {
            connections: slow.readers,
            size: slow.download,
            read_rate: slow.read_rate,
            receive_buffer: u32::try_from(slow.receive_buffer)?,
            over: Carrier::Websocket,
            until: Until::Elapsed(slow.duration),
        },
    };
    let observer = Observer::new(stage.admin, stage.pid());
    lab.watch(&mut stage, &observer, slow.warmup, &mut run).await;
    lab.mark(&mut run, &observer, "reading").await;
    let load = load::Run::new(plan);
    let stop = load.stop_token();
    let watching = async {
        lab.watch(&mut stage, &observer, slow.duration, &mut run).await;
        // Interrupted, or the proxy is gone: the readers need not go on.
        if run.cut_short.is_some() {
            stop.cancel();
        }
    };
    let (report, ()) = tokio::join!(load.execute(), watching);
    let report = report?;
    run.load.tunnels = report.connections.ready;
    run.load.faults = report.faults.values().map(|seen| seen.count).sum();
    run.load.warnings = report
        .warnings
        .iter()
        // Said of the whole result.
        .filter(|warning| **warning != load::Warning::DebugBuild)
        .map(ToString::to_string)
        .collect();
    run.load.first_fault = report.faults.values().next().map(|seen| seen.example.clone());
    if run.cut_short.is_none() {
        lab.mark(&mut run, &observer, "left").await;
        lab.watch(&mut stage, &observer, slow.settle, &mut run).await;
    }
    run.facts = found(&run);
    run.facts.push(Fact::new(
        format!("{relay_policy}: taken by the readers"),
        report.bytes_received as f64,
        "bytes",
    ));
    Ok(run)
}

/// What was held while they read, and what malloc keeps afterwards.
fn found(run: &Run) -> Vec<Fact> {
    let Some(before) = run.before("reading") else {
        return Vec::new();
    };
    let most = |of: &dyn Fn(&Sample) -> f64| run.samples.iter().map(of).fold(0.0, f64::max);
    // Slabs are memory that is kept for all, and only reserved until it is written to.
    let allocated = |sample: &Sample| sample.allocated_bytes - sample.live_bytes();
    let resident = |sample: &Sample| sample.rss_bytes;
    let last = run.last();
    let setting = &run.setting;
    [
        (
            "held while they read, besides slabs",
            most(&allocated) - allocated(before),
        ),
        ("RSS it took", most(&resident) - resident(before)),
        (
            "allocated afterwards, besides slabs",
            allocated(&last) - allocated(before),
        ),
        ("resident afterwards", resident(&last) - resident(before)),
    ]
    .map(|(name, value)| Fact::new(format!("{setting}: {name}"), value, "bytes"))
    .into()
}
