//! Samples of the watched process at a run's moments, and what follows from them.

use std::future::pending;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::fault::LoadError;
use super::plan::Work;
use super::process::{Look, ProcessSample, command_name, sample_one, sample_tree};
use super::report::Process;

/// How often the peak is looked for.
const PEAK_EVERY: Duration = Duration::from_millis(200);

/// Watches one process tree, if there is one to watch.
#[derive(Debug)]
pub(super) struct Watch {
    root: Option<Root>,
    /// The generator's own process, whose RSS is of interest as well.
    pub(super) own: u32,
}

#[derive(Debug)]
struct Root {
    pid: u32,
    command: String,
    peak_rss: u64,
}

/// One moment of both processes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    pub(super) process: Option<ProcessSample>,
    pub(super) own: ProcessSample,
}

/// The moments of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    pub(super) before: Moment,
    pub(super) ready: Moment,
    pub(super) end: Moment,
    pub(super) after: Moment,
}

impl Watch {
    pub(super) fn new(pid: Option<u32>) -> Result<Self, LoadError> {
        let root = |pid| match command_name(pid) {
            Ok(command) => Ok(Root {
                pid,
                command,
                peak_rss: 0,
            }),
            Err(source) => Err(LoadError::Process { pid, source }),
        };
        Ok(Self {
            root: pid.map(root).transpose()?,
            own: std::process::id(),
        })
    }

    pub(super) fn is_watching(&self) -> bool {
        self.root.is_some()
    }

    /// Looks closely. A process that has ended is no longer there; the run goes on without it.
    pub(super) fn sample(&mut self) -> Moment {
        let process = self.root.as_mut().and_then(|root| {
            let sample = sample_tree(root.pid, Look::Close).ok()?;
            root.peak_rss = root.peak_rss.max(sample.rss_bytes);
            Some(sample)
        });
        Moment {
            process,
            own: sample_one(self.own, Look::Close).unwrap_or_default(),
        }
    }

    /// Looks for the peak until it is dropped, from `ready` on.
    pub(super) async fn seek_peak(&mut self, ready: Moment) {
        let Some(root) = &mut self.root else {
            return pending().await;
        };
        root.peak_rss = ready.process.map_or(0, |sample| sample.rss_bytes);
        let mut ticks = interval(PEAK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Ok(sample) = sample_tree(root.pid, Look::Brief) {
                root.peak_rss = root.peak_rss.max(sample.rss_bytes);
            }
        }
    }

    /// What the process took for so many units, with so many connections open.
    pub(super) fn conclude(&self, moments: &Moments, work: &Work, ready: u64, count: f64) -> Option<Process> {
        let root = self.root.as_ref()?;
        let [before, ready_sample, end, after] =
            [moments.before, moments.ready, moments.end, moments.after].map(|moment| moment.process);
        let (before, ready_sample) = (before?, ready_sample?);
        // If it ended, what is known last is taken.
        let end = end.unwrap_or(ready_sample);
        let after = after.unwrap_or(end);
        let share = |to: u64, from: u64| (ready > 0).then(|| (to as f64 - from as f64) / ready as f64);
        let mut process = Process {
            pid: root.pid,
            command: root.command.clone(),
            before,
            ready: ready_sample,
            end,
            after,
            peak_rss_bytes: root.peak_rss,
            unit: work.unit(),
            cpu_us_per_unit: None,
            rss_per_connection: share(end.rss_bytes, before.rss_bytes),
            pss_per_connection: end
                .pss_bytes
                .zip(before.pss_bytes)
                .and_then(|(end, before)| share(end, before)),
            rss_growth_per_connection: share(root.peak_rss, ready_sample.rss_bytes),
        };
        // What a slow reader takes depends on how long it reads, not on how many there are.
        let divides = count > 0.0 && !matches!(work, Work::Slow { .. });
        process.cpu_us_per_unit = divides.then(|| process.cpu_of_units(work) * 1e6 / count);
        Some(process)
    }
}
