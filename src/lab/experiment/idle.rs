//! What an idle tunnel costs, before and after one message is pushed to it.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::TaskTracker;

use super::{HEAD_POLICIES, Lab};
use crate::lab::client::{Clients, Wire};
use crate::lab::observe::{Observer, ask};
use crate::lab::result::{Fact, LabResult, Run};
use crate::lab::scenario::Idle;
use crate::labels::HeadPolicy;

/// The client id that all tunnels subscribe to, so that one message reaches each.
const CLIENT: &str = "lab";
/// How long all messages together may take to arrive.
const PUSH_PATIENCE: Duration = Duration::from_secs(60);
/// Tunnels that are being opened at once.
const OPENING_MAX: usize = 64;

pub(super) async fn idle(lab: &Lab<'_>, idle: &Idle, result: &mut LabResult) -> anyhow::Result<()> {
    for policy in HEAD_POLICIES {
        if lab.stop.is_cancelled() {
            break;
        }
        let run = one(lab, idle, policy, &mut result.facts).await?;
        result.runs.push(run);
    }
    Ok(())
}

async fn one(lab: &Lab<'_>, idle: &Idle, policy: HeadPolicy, facts: &mut Vec<Fact>) -> anyhow::Result<Run> {
    let mut stage = lab.stage(policy).await?;
    let mut run = Run {
        setting: policy.to_string(),
        proxy_config: stage.config.clone(),
        ..Run::default()
    };
    (lab.say)(&format!("{policy}: {} tunnels, then one message to each", idle.tunnels));
    let clients = Clients::new(stage.address, &stage.ca)?;
    let path = format!("/push/{CLIENT}");
    // Once, so that what a first connection costs is not counted.
    drop(clients.tunnel(&path, 0).await?);
    let observer = Observer::new(stage.admin, stage.pid());
    let tick = lab.scenario.common.tick;
    lab.watch(&mut stage, &observer, tick * 5, &mut run).await;
    let mut kernel = vec![Kernel::read()];

    lab.mark(&mut run, &observer, "opening").await;
    let opening = TaskTracker::new();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(OPENING_MAX));
    let begin = Instant::now();
    for number in 0..idle.tunnels {
        let due = begin + Duration::from_secs_f64(number as f64 / idle.tunnel_rate);
        let (clients, path, tell, gate) = (clients.clone(), path.clone(), tell.clone(), gate.clone());
        let stop = lab.stop.clone();
        opening.spawn(async move {
            let open = async {
                sleep_until(due).await;
                let _permit = gate.acquire().await;
                clients.tunnel(&path, 0).await
            };
            if let Some(opened) = stop.run_until_cancelled(Box::pin(open)).await {
                // The other end is dropped when the run is over.
                _ = tell.send(opened);
            }
        });
    }
    drop(tell);
    opening.close();
    let seconds = idle.tunnels as f64 / idle.tunnel_rate;
    lab.watch(&mut stage, &observer, Duration::from_secs_f64(seconds), &mut run)
        .await;
    let mut wires = Vec::with_capacity(idle.tunnels);
    while let Some(opened) = told.recv().await {
        wires.push(opened.context("a tunnel cannot be opened")?);
    }
    run.load.tunnels = wires.len() as u64;
    lab.mark(&mut run, &observer, "all open").await;
    lab.watch(&mut stage, &observer, idle.settle, &mut run).await;
    kernel.push(Kernel::read());

    if !lab.stop.is_cancelled() {
        lab.mark(&mut run, &observer, "push").await;
        push(&stage.origin_address, idle, &mut wires).await?;
        lab.watch(&mut stage, &observer, idle.settle, &mut run).await;
        kernel.push(Kernel::read());
    }
    facts.extend(costs(&run, &kernel));
    Ok(run)
}

/// Publishes one message and takes it from every tunnel.
async fn push(origin: &std::net::SocketAddr, idle: &Idle, wires: &mut [Wire]) -> anyhow::Result<()> {
    let message = vec![b'm'; idle.message];
    let answer = ask(*origin, "POST", &format!("/publish/{CLIENT}"), &message).await?;
    let all = format!("{{\"receivers\": {}}}", wires.len());
    ensure!(
        answer.trim() == all,
        "of {} tunnels the message reached {}",
        wires.len(),
        answer.trim()
    );
    let taking = async {
        for wire in wires {
            ensure!(wire.message().await? == message, "another message came than was pushed");
        }
        Ok(())
    };
    timeout(PUSH_PATIENCE, taking)
        .await
        .context("the message did not reach everyone in time")?
}

/// Memory of the kernel, all processes of the machine together.
#[derive(Clone, Copy, Debug, Default)]
struct Kernel {
    /// What sits in TCP's buffers.
    buffers: f64,
    /// Its objects: sockets, files, event queues.
    objects: f64,
}

impl Kernel {
    fn read() -> Self {
        let page = 4096.0;
        let sockets = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
        let tcp = sockets.lines().find(|line| line.starts_with("TCP:"));
        let pages = tcp.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let slab = memory.lines().find_map(|line| line.strip_prefix("Slab:"));
        let kilobytes = slab.and_then(|text| text.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
        Self {
            buffers: pages.unwrap_or(0.0) * page,
            objects: kilobytes.unwrap_or(0.0) * 1024.0,
        }
    }
}

/// Bytes a tunnel, at the end of each phase, above what there was before the first.
fn costs(run: &Run, kernel: &[Kernel]) -> Vec<Fact> {
    let Some(before) = run.before("opening") else {
        return Vec::new();
    };
    let tunnels = run.load.tunnels.max(1) as f64;
    let phases = [
        ("idle", run.before("push").cloned().unwrap_or_else(|| run.last())),
        ("after the push", run.last()),
    ];
    let mut facts = Vec::new();
    for ((phase, sample), kernel_after) in phases.into_iter().zip(&kernel[1..]) {
        let per = |after: f64, before: f64| (after - before) / tunnels;
        let rss = per(sample.rss_bytes, before.rss_bytes);
        let allocated = per(sample.allocated_bytes, before.allocated_bytes);
        let slabs = per(sample.live_bytes(), before.live_bytes());
        let buffers = per(kernel_after.buffers, kernel[0].buffers);
        let objects = per(kernel_after.objects, kernel[0].objects);
        for (part, value) in [
            ("RSS", rss),
            ("connection state", allocated - slabs),
            ("slabs", slabs),
            ("allocator slack and stacks", rss - allocated),
            ("kernel: TCP buffers, both ends of both connections", buffers),
            ("kernel: objects, the whole machine", objects),
        ] {
            facts.push(Fact::new(
                format!("{}, {phase}: {part}", run.setting),
                value,
                "bytes per tunnel",
            ));
        }
    }
    facts
}
