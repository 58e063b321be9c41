//! `headpin lab`: the experiments.

mod drive;

use std::io::Write as _;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use tokio_util::sync::CancellationToken;

use super::values::parse_rate;
use crate::experiment;
use crate::model::{self, Model, POINTS, Panel};
use crate::result::LabResult;
use crate::scenario::{self, Choice, Scenario, Variant};
use crate::stored::{self, Destination, StoredError};
use crate::units::{parse_bytes, parse_duration};
use crate::{compare, report, terminal};
use headpin::cli::signals::StopSignals;

/// Reproduces the memory failures that the proxy is about, measures them and draws them
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct LabCommand {
    #[command(subcommand)]
    what: LabWork,
}

#[derive(Debug, Subcommand)]
enum LabWork {
    /// Lists the scenarios
    List,
    /// Runs a scenario under both settings
    ///
    /// Exit code 0 if all was run and every claim held; 1 if a claim failed, or the run was interrupted or failed: what
    /// was measured is kept in files named partial; 64 if it cannot begin as it was typed.
    ///
    /// The first Ctrl-C or SIGTERM ends the run and keeps what was measured, a second one throws it away.
    Run(RunCommand),
    Drive(drive::DriveCommand),
    /// Puts two results beside each other
    Compare {
        /// A result's JSON
        a: PathBuf,
        /// Another one's
        b: PathBuf,
    },
    /// Writes the HTML report of a result
    Report {
        /// The result's JSON
        result: PathBuf,
        /// The file to write; beside the result if left out
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Tells how many slabs are pinned: by formula, and by simulation
    Model(ModelCommand),
}

#[derive(Debug, Args)]
struct ModelCommand {
    /// Tunnels that arrive in a second
    #[arg(long, value_name = "NUMBER", default_value_t = 1.0, value_parser = parse_rate)]
    tunnel_rate: f64,
    /// Bytes carved in a second
    #[arg(long, value_name = "BYTES", default_value = "1MB", value_parser = parse_bytes)]
    byte_rate: u64,
    /// Bytes of a slab
    #[arg(long, value_name = "BYTES", default_value = "10MiB", value_parser = parse_bytes)]
    slab: u64,
    /// How long a tunnel lives on average; forever if left out
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    tunnel_lifetime: Option<Duration>,
    /// Tunnels to simulate
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    tunnels: u64,
    /// Makes chance repeatable
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// A result's JSON, to hold against what is derived for it; may be given several times
    #[arg(long, value_name = "RESULT")]
    measured: Vec<PathBuf>,
    /// Draw all of it into this file, a page (.html) or a picture (.svg)
    #[arg(short, long, value_name = "FILE", value_parser = parse_drawing)]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RunCommand {
    /// Which; `headpin lab list` names them
    #[arg(value_name = "SCENARIO", required_unless_present = "scenario")]
    name: Option<String>,
    /// A file with numbers of one's own; it names its kind and may leave out the rest
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// One number instead of the scenario's, such as byte_rate=2MB; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// The same ratios in well under a minute
    #[arg(long)]
    fast: bool,
    /// Small enough for a test
    #[arg(long, conflicts_with = "fast")]
    smoke: bool,
    /// How often each setting is run, in turn; the result tells medians and spreads
    #[arg(long, value_name = "COUNT", default_value = "1")]
    repeat: NonZeroU32,
    /// The folder that the result goes to
    #[arg(short, long, value_name = "FOLDER", default_value = "lab-results")]
    out: PathBuf,
    /// Print the result as JSON instead of the summary
    #[arg(long)]
    json: bool,
}

impl LabCommand {
    /// # Errors
    /// Wrong usage, or an experiment that cannot begin.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            LabWork::List => list().map(|()| ExitCode::SUCCESS),
            LabWork::Run(command) => command.run(),
            LabWork::Drive(command) => command.run().map(|()| ExitCode::SUCCESS),
            LabWork::Compare { a, b } => {
                let (a, b) = (stored::read(&a)?, stored::read(&b)?);
                let doubts = stored::comparable(&a, &b)?;
                print(&compare::compare(&a, &b))?;
                print(
                    &doubts
                        .iter()
                        .map(|doubt| format!("  doubt  {doubt}\n"))
                        .collect::<String>(),
                )?;
                Ok(ExitCode::SUCCESS)
            }
            LabWork::Report { result, out } => {
                let out = out.unwrap_or_else(|| result.with_extension("html"));
                let page = report::html(&stored::read(&result)?)?;
                stored::replace(&out, &page).map_err(|source| StoredError::Place {
                    path: out.clone(),
                    source,
                })?;
                print(&format!("{}\n", out.display()))?;
                Ok(ExitCode::SUCCESS)
            }
            LabWork::Model(command) => command.run().map(|()| ExitCode::SUCCESS),
        }
    }
}

fn list() -> anyhow::Result<()> {
    let titles = scenario::titles()?;
    let lines = titles.into_iter().map(|(name, title)| format!("{name:14} {title}\n"));
    print(&lines.collect::<String>())
}

impl RunCommand {
    fn run(self) -> anyhow::Result<ExitCode> {
        let choice = Choice {
            name: self.name,
            variant: match (self.fast, self.smoke) {
                (true, _) => Variant::Fast,
                (_, true) => Variant::Smoke,
                _ => Variant::Full,
            },
            file: self.scenario,
            sets: self.sets,
        };
        let scenario = Scenario::choose(&choice)?;
        // Before the experiment rather than after it.
        let name = format!("{}-{}", scenario.name, scenario.variant.name());
        let destination = Destination::prepare(&self.out, &name)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let result = runtime.block_on(execute(&scenario, self.repeat))?;
        let written = destination.write(&result);
        if self.json {
            print(&stored::to_json(&result)?)?;
        } else {
            print(&terminal::summary(&result))?;
        }
        let Destination { json, page } = written?;
        if !self.json {
            print(&format!("  result {}\n  report {}\n", json.display(), page.display()))?;
        }
        Ok(if result.is_good() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

impl ModelCommand {
    fn run(self) -> anyhow::Result<()> {
        let Self {
            tunnel_rate,
            byte_rate,
            slab,
            tunnel_lifetime,
            tunnels,
            seed,
            measured,
            out,
        } = self;
        anyhow::ensure!(
            byte_rate > 0 && slab > 0 && tunnels > 0,
            "nothing flows: accepted are numbers above 0"
        );
        let model = Model {
            arrival_rate: tunnel_rate,
            byte_rate: byte_rate as f64,
            slab: slab as f64,
            lifetime: tunnel_lifetime.map(|mean| mean.as_secs_f64()),
        };
        let begin = tokio::time::Instant::now();
        let simulated = model.simulate(seed, tunnels, POINTS, 0.0);
        print(&model::summary(&model, &simulated, begin.elapsed()))?;
        let mut panels = vec![Panel::of(&model, &simulated)];
        for path in measured {
            let panel =
                Panel::of_result(&stored::read(&path)?).with_context(|| format!("cannot draw {}", path.display()))?;
            print(&format!("\n{}\n  {}\n", panel.title, panel.sentences.join("\n  ")))?;
            panels.push(panel);
        }
        let Some(out) = out else { return Ok(()) };
        let drawn = if out.extension().is_some_and(|extension| extension == "svg") {
            model::picture(&panels)?
        } else {
            model::page(&panels)?
        };
        std::fs::write(&out, &drawn).with_context(|| format!("cannot write {}", out.display()))?;
        print(&format!("\n  drawn in {}\n", out.display()))
    }
}

async fn execute(scenario: &Scenario, repeat: NonZeroU32) -> anyhow::Result<LabResult> {
    let stop = CancellationToken::new();
    let mut signals = StopSignals::listen()?;
    let say = |what: &str| eprintln!("{what}");
    let running = experiment::run(scenario, repeat, &stop, &say);
    tokio::pin!(running);
    loop {
        tokio::select! {
            result = running.as_mut() => return result,
            () = signals.asked() => {
                anyhow::ensure!(!stop.is_cancelled(), "interrupted twice; there is no result");
                eprintln!("interrupted: what was measured is kept; once more throws it away");
                stop.cancel();
            }
        }
    }
}

fn parse_drawing(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let known = path
        .extension()
        .is_some_and(|extension| extension == "svg" || extension == "html");
    known
        .then_some(path)
        .ok_or_else(|| format!("{text:?} is neither a page nor a picture; accepted: a name that ends in .html or .svg"))
}

fn print(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}
