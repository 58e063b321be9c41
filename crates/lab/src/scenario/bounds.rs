//! Numbers that no run can do anything with.

use std::time::Duration;

use super::{Common, Experiment, Scenario, Trend};

impl Scenario {
    /// Every key whose number is refused, with what is accepted.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut demand = |good: bool, key: &str, accepted: &str| {
            if !good {
                let value = self.table.get(key).map(ToString::to_string).unwrap_or_default();
                faults.push(format!("{key} = {value}: accepted is {accepted}"));
            }
        };
        let Common { workers, tick, .. } = self.common;
        demand((1..=64).contains(&workers), "workers", "1 to 64");
        demand(tick >= Duration::from_millis(10), "tick", "10ms or more");
        match &self.experiment {
            Experiment::Head(traffic) | Experiment::Uploads(traffic) | Experiment::Trend(Trend { traffic, .. }) => {
                demand(traffic.data_connections > 0, "data_connections", "1 or more");
                demand(traffic.byte_rate > 0, "byte_rate", "a number of bytes above 0");
                demand(traffic.chunk > 0, "chunk", "a number of bytes above 0");
                let rate = traffic.tunnel_rate;
                demand(rate.is_finite() && rate > 0.0, "tunnel_rate", "a number above 0");
                demand(traffic.duration >= tick * 10, "duration", "ten times the tick or more");
                demand(traffic.head_bytes <= 125, "head_bytes", "0 to 125");
            }
            Experiment::Idle(idle) => {
                demand(idle.tunnels > 0, "tunnels", "1 or more");
                let rate = idle.tunnel_rate;
                demand(rate.is_finite() && rate > 0.0, "tunnel_rate", "a number above 0");
                demand((1..=65_536).contains(&idle.message), "message", "1 to 65536");
            }
            Experiment::Backpressure(slow) => {
                demand(slow.readers > 0, "readers", "1 or more");
                demand(slow.download > 0, "download", "a number of bytes above 0");
            }
        }
        if let Experiment::Trend(trend) = &self.experiment {
            demand(trend.threshold > 0.0, "threshold", "a number above 0");
            demand(trend.confirm > 0, "confirm", "1 or more");
            demand(
                trend.burst_lasts < trend.burst_every,
                "burst_lasts",
                "shorter than burst_every",
            );
        }
        faults
    }
}
