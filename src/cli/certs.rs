//! `headpin certs`: a development authority and a certificate of it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use crate::tls::{DEVELOPMENT_NAMES, DevelopmentCertificates};

/// Makes a development CA and a certificate for localhost
///
/// Writes ca.pem, ca-key.pem, localhost.pem and localhost-key.pem; the keys are readable by their owner only. Not for
/// production: whoever has ca-key.pem can be any site to a client that trusts ca.pem.
#[derive(Debug, Args)]
pub(super) struct CertsCommand {
    /// The folder to write to
    #[arg(short, long, value_name = "FOLDER", default_value = "certs")]
    out: PathBuf,
    /// A further name or address that the certificate is for
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// Replace what is there
    #[arg(long)]
    force: bool,
}

impl CertsCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        make(&self)
    }
}

fn make(command: &CertsCommand) -> anyhow::Result<()> {
    let CertsCommand { out, name, force } = command;
    let names = DEVELOPMENT_NAMES
        .map(String::from)
        .into_iter()
        .chain(name.iter().cloned());
    let made = DevelopmentCertificates::make(names).context("no certificate can be made for these names")?;
    fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let files = [
        ("ca.pem", &made.ca, 0o644),
        ("ca-key.pem", &made.ca_key, 0o600),
        ("localhost.pem", &made.leaf, 0o644),
        ("localhost-key.pem", &made.leaf_key, 0o600),
    ];
    if let Some((name, ..)) = files.iter().find(|(name, ..)| !force && out.join(name).exists()) {
        bail!(
            "{} is there already; pass --force to replace it",
            out.join(name).display()
        );
    }
    for (name, pem, mode) in files {
        write(&out.join(name), pem, mode)?;
    }
    println!(
        "wrote {} for {}",
        out.join("localhost.pem").display(),
        DEVELOPMENT_NAMES.join(", ")
    );
    println!("clients trust it with {}", out.join("ca.pem").display());
    Ok(())
}

fn write(path: &Path, pem: &str, mode: u32) -> anyhow::Result<()> {
    let whole = || -> std::io::Result<()> {
        // A new file, so that the mode holds also where an older one had another.
        if path.exists() {
            fs::remove_file(path)?;
        }
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?
            .write_all(pem.as_bytes())
    };
    whole().with_context(|| format!("cannot write {}", path.display()))
}
