//! What an idle tunnel costs, before and after one message is pushed to it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use headpin::observe::labels::HeadPolicy;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::TaskTracker;

use super::{HEAD_POLICIES, Lab};
use crate::account::Account;
use crate::client::{Clients, Wire};
use crate::observe::{Observer, ask};
use crate::result::{Fact, PER_TUNNEL, PHASES, Run};
use crate::scenario::Idle;
use crate::traffic::OPENING;

/// The client id that all tunnels subscribe to, so that one message reaches each.
const CLIENT: &str = "lab";
/// How long all messages together may take to arrive.
const PUSH_PATIENCE: Duration = Duration::from_secs(60);
/// Tunnels that are being opened at once.
const OPENING_MAX: usize = 64;

pub(super) async fn idle(lab: &Lab<'_>, idle: &Idle, runs: &mut Vec<Run>) -> anyhow::Result<()> {
    for policy in HEAD_POLICIES {
        if lab.stop.is_cancelled() {
            break;
        }
        runs.push(one(lab, idle, policy).await?);
    }
    Ok(())
}

async fn one(lab: &Lab<'_>, idle: &Idle, policy: HeadPolicy) -> anyhow::Result<Run> {
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
    let before = weighed(&observer, stage.admin).await?;
    let mut phases = Vec::new();

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
    run.load.tunnel_rate_asked = idle.tunnel_rate;
    // The last ones were due a moment ago.
    let took = (begin.elapsed().as_secs_f64() - OPENING).max(seconds);
    run.load.tunnel_rate = wires.len() as f64 / took;
    lab.mark(&mut run, &observer, "all open").await;
    lab.watch(&mut stage, &observer, idle.settle, &mut run).await;
    phases.push((PHASES[0], weighed(&observer, stage.admin).await?));

    if !lab.stop.is_cancelled() {
        lab.mark(&mut run, &observer, "push").await;
        push(&stage.origin_address, idle, &mut wires).await?;
        lab.watch(&mut stage, &observer, idle.settle, &mut run).await;
        phases.push((PHASES[1], weighed(&observer, stage.admin).await?));
    }
    run.facts = costs(&run, &before, &phases);
    Ok(run)
}

/// Publishes one message and takes it from every tunnel.
async fn push(origin: &SocketAddr, idle: &Idle, wires: &mut [Wire]) -> anyhow::Result<()> {
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

/// Bytes a tunnel, at the end of each phase, above what there was before the first.
fn costs(run: &Run, before: &Account, phases: &[(&str, Account)]) -> Vec<Fact> {
    let tunnels = run.load.tunnels.max(1) as f64;
    let mut facts = Vec::new();
    for (phase, after) in phases {
        let mut tell = |part: &str, after: f64, before: f64| {
            facts.push(Fact::new(
                format!("{}, {phase}: {part}", run.setting),
                (after - before) / tunnels,
                PER_TUNNEL,
            ));
        };
        tell("RSS", after.resident, before.resident);
        for (part, after) in after.parts() {
            // What was not told both times cannot be compared.
            if let Some((_, before)) = before.parts().find(|(known, _)| *known == part) {
                tell(&part, after, before);
            }
        }
    }
    facts
}

async fn weighed(observer: &Observer, admin: SocketAddr) -> anyhow::Result<Account> {
    Account::read(admin, &observer.sample().await?).await
}
