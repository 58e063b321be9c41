//! `headpin load`

mod arguments;
mod options;
mod progress;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use crate::load::{Plan, Run, render};
use arguments::LoadWork;
use headpin::cli::signals::StopSignals;
use progress::Progress;

/// Loads a proxy or an origin, verifies every byte, and measures.
///
/// Exit code 0 if all that was asked for was done without a fault, else 1; a report is printed either way.
#[derive(Args, Clone, Debug)]
pub(super) struct LoadCommand {
    #[command(subcommand)]
    work: LoadWork,
}

impl LoadCommand {
    /// Runs the load and prints its report.
    ///
    /// # Errors
    /// If it cannot begin, or is interrupted twice.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (common, work, until_stdin_closes) = self.work.into_parts()?;
        let output = Output {
            json: common.json,
            announce_ready: common.announce_ready,
        };
        let plan = common.into_plan(work);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(execute(plan, output, until_stdin_closes))
    }
}

#[derive(Clone, Copy, Debug)]
struct Output {
    json: bool,
    announce_ready: bool,
}

async fn execute(plan: Plan, output: Output, until_stdin_closes: bool) -> anyhow::Result<ExitCode> {
    let mut progress = Progress::new(&plan.work);
    let mut run = Run::new(plan);
    let (live, stop, ready) = (run.live(), run.stop_token(), run.on_ready());
    if until_stdin_closes {
        let stop = stop.clone();
        // Reading standard input cannot be interrupted; the thread ends with the process.
        std::thread::spawn(move || {
            _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            stop.cancel();
        });
    }
    let mut signals = StopSignals::listen()?;
    let executing = run.execute();
    tokio::pin!(executing, ready);
    let mut announced = !output.announce_ready;
    let report = loop {
        tokio::select! {
            report = executing.as_mut() => break report?,
            opened = ready.as_mut(), if !announced => {
                announced = true;
                if let Ok(opened) = opened {
                    output.announce(opened)?;
                }
            }
            () = signals.asked() => {
                if stop.is_cancelled() {
                    bail!("interrupted twice; there is no report");
                }
                stop.cancel();
            }
            () = progress.tick() => progress.show(&live.glance()),
        }
    };
    progress.clear();
    let text = if output.json {
        serde_json::to_string(&report)? + "\n"
    } else {
        render(&report)
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Output {
    fn announce(self, opened: u64) -> io::Result<()> {
        let line = if self.json {
            json!({ "ready": opened }).to_string()
        } else {
            format!("ready {opened}")
        };
        writeln!(io::stdout(), "{line}")?;
        io::stdout().flush()
    }
}
