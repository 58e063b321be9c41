//! The experiments that are made of uploads and tunnels: head, uploads, trend.

use headpin::observe::labels::HeadPolicy;

use super::{HEAD_POLICIES, Lab};
use crate::client::Clients;
use crate::observe::Observer;
use crate::result::Run;
use crate::scenario::{Traffic, Trend};
use crate::traffic::{Load, Shape};

/// The four corners: whether there are uploads, whether there are tunnels.
const CORNERS: [(&str, bool, bool); 4] = [
    ("nothing", false, false),
    ("tunnels only", false, true),
    ("uploads only", true, false),
    ("both", true, true),
];

/// What is on in one run.
#[derive(Clone, Copy)]
struct Parts<'a> {
    corner: Option<&'a str>,
    uploads: bool,
    tunnels: bool,
    bursts: Option<&'a Trend>,
}

const ALL: Parts<'_> = Parts {
    corner: None,
    uploads: true,
    tunnels: true,
    bursts: None,
};

pub(super) async fn head(lab: &Lab<'_>, traffic: &Traffic, runs: &mut Vec<Run>) -> anyhow::Result<()> {
    each_policy(lab, traffic, ALL, runs).await
}

pub(super) async fn uploads(lab: &Lab<'_>, traffic: &Traffic, runs: &mut Vec<Run>) -> anyhow::Result<()> {
    for (corner, uploads, tunnels) in CORNERS {
        let parts = Parts {
            corner: Some(corner),
            uploads,
            tunnels,
            bursts: None,
        };
        each_policy(lab, traffic, parts, runs).await?;
    }
    Ok(())
}

pub(super) async fn trend(lab: &Lab<'_>, trend: &Trend, runs: &mut Vec<Run>) -> anyhow::Result<()> {
    let parts = Parts {
        bursts: Some(trend),
        ..ALL
    };
    each_policy(lab, &trend.traffic, parts, runs).await
}

async fn each_policy(lab: &Lab<'_>, traffic: &Traffic, parts: Parts<'_>, runs: &mut Vec<Run>) -> anyhow::Result<()> {
    for policy in HEAD_POLICIES {
        if lab.stop.is_cancelled() {
            break;
        }
        runs.push(one(lab, traffic, parts, policy).await?);
    }
    Ok(())
}

async fn one(lab: &Lab<'_>, traffic: &Traffic, parts: Parts<'_>, policy: HeadPolicy) -> anyhow::Result<Run> {
    let mut stage = lab.stage(policy).await?;
    let mut run = Run {
        setting: policy.to_string(),
        corner: parts.corner.map(str::to_owned),
        proxy_config: stage.config.clone(),
        ..Run::default()
    };
    (lab.say)(&format!("{}: warming up for {:?}", run.name(), traffic.warmup));
    let mut load = Load::new(Clients::new(stage.address, &stage.ca)?);
    if parts.uploads {
        let shape = parts.bursts.map_or(Shape::Steady, |trend| Shape::Bursts {
            every: trend.bursts.burst_every,
            lasts: trend.bursts.burst_lasts,
        });
        load.upload(traffic, shape);
    }
    lab.rest(traffic.warmup).await;
    (lab.say)(&format!("{}: measuring for {:?}", run.name(), traffic.duration));
    let observer = Observer::new(stage.admin, stage.pid());
    if parts.tunnels {
        load.open(traffic, lab.seed);
    }
    if let Some(trend) = parts.bursts {
        load.burst(
            trend.bursts.burst_tunnels,
            trend.bursts.burst_every,
            trend.bursts.burst_lasts,
            traffic.head_bytes,
        );
    }
    lab.watch(&mut stage, &observer, traffic.duration, &mut run).await;
    run.load = load.end().await;
    Ok(run)
}
