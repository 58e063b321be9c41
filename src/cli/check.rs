//! `headpin check`: is this config good, and what does it say in full?

use std::path::PathBuf;

use clap::Args;
use headpin_tls::TlsAcceptor;

use crate::app::StartError;
use crate::config::Config;
use crate::observe::metrics::Metrics;
use crate::worker::Settings;

/// Checks a config and prints it with every default filled in
///
/// Opens the certificates that it names, but binds and dials nothing. Exit code 64 if it is faulty.
#[derive(Debug, Args)]
pub(super) struct CheckCommand {
    /// The file
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "HEADPIN_CONFIG",
        required_unless_present = "schema"
    )]
    config: Option<PathBuf>,
    /// Print the JSON Schema of config files, for editors, and check nothing
    #[arg(long, conflicts_with = "quiet")]
    schema: bool,
    /// Print nothing if the config is good
    #[arg(short, long)]
    quiet: bool,
}

impl CheckCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Some(path) = self.config.filter(|_| !self.schema) else {
            print!("{}", Config::json_schema());
            return Ok(());
        };
        let config = Settings::read(&path)?;
        let metrics = Metrics::register(&prometheus::Registry::new())?;
        let settings = Settings::load(config, 0, &TlsAcceptor::new()?, &metrics, None).map_err(StartError::from)?;
        if !self.quiet {
            print!("{}", settings.config.to_toml());
        }
        Ok(())
    }
}
