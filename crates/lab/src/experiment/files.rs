//! Open files: whether all connections of an experiment can be open at once. Looked at before anything starts.

use anyhow::ensure;

use crate::scenario::{Experiment, Scenario, Traffic};
use headpin::app;

/// Arrivals are random: this many standard deviations more than expected come in one run of millions.
const DEVIATIONS: f64 = 5.0;

/// Raises the soft limit, which the children inherit, as far as it goes.
///
/// # Errors
/// If even the hard limit is too low for `scenario`.
pub(super) fn suffice(scenario: &Scenario) -> anyhow::Result<()> {
    // Where the limit cannot be read, whoever needs more will tell.
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(u64::MAX);
    let (connections, lower) = connections(&scenario.experiment);
    // The proxy has two sockets for a connection; nobody else has more.
    let needed = app::files_for(connections);
    ensure!(
        needed <= limit,
        "{} has {connections} connections at once, for which the proxy needs {needed} open files, and {limit} are \
         allowed (`ulimit -n`, already raised to the hard limit); raise the hard limit (`ulimit -Hn`, LimitNOFILE=), or \
         lower {lower} with --set",
        scenario.name
    );
    Ok(())
}

/// The most that are open at once, and which key makes it fewer.
fn connections(experiment: &Experiment) -> (u64, &'static str) {
    match experiment {
        Experiment::Head(traffic) | Experiment::Uploads(traffic) => (of_traffic(traffic), "tunnel_rate or duration"),
        Experiment::Trend(trend) => (
            of_traffic(&trend.traffic) + trend.bursts.burst_tunnels as u64,
            "tunnel_rate or burst_tunnels",
        ),
        Experiment::Idle(idle) => (idle.tunnels as u64, "tunnels"),
        Experiment::Backpressure(slow) => (slow.readers, "readers"),
    }
}

fn of_traffic(traffic: &Traffic) -> u64 {
    let lives = traffic
        .tunnel_lifetime
        .map_or(traffic.duration, |life| life.min(traffic.duration));
    let expected = traffic.tunnel_rate * lives.as_secs_f64();
    let most = expected + DEVIATIONS * expected.sqrt();
    traffic.data_connections as u64 + most.ceil() as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::Choice;

    fn scenario(name: &str, sets: &[&str]) -> Scenario {
        let choice = Choice {
            name: Some(name.to_owned()),
            sets: sets.iter().map(ToString::to_string).collect(),
            ..Choice::default()
        };
        Scenario::choose(&choice).unwrap()
    }

    #[test]
    fn tunnels_that_stay_add_up_and_those_that_leave_do_not() {
        let Experiment::Head(mut traffic) = scenario("head", &["tunnel_rate=100.0", "duration=100s"]).experiment else {
            panic!()
        };
        traffic.data_connections = 0;
        assert_eq!(of_traffic(&traffic), 10_500);
        traffic.tunnel_lifetime = Some(Duration::from_secs(1));
        assert_eq!(of_traffic(&traffic), 150);
    }

    #[test]
    fn what_is_too_much_for_any_limit_is_refused_with_the_key_that_lowers_it() {
        for (name, key) in [("idle", "tunnels"), ("backpressure", "readers")] {
            let much = scenario(name, &[&format!("{key}=1000000000000")]);
            let refusal = suffice(&much).unwrap_err().to_string();
            assert!(
                refusal.contains("2000000000200 open files") && refusal.contains(&format!("lower {key}")),
                "{refusal}"
            );
        }
    }
}
