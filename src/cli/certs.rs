//! `headpin certs`: a development authority and a certificate of it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use crate::certificates::{DEVELOPMENT_NAMES, DevelopmentCertificates, verify_files};
use crate::config::{CertificateFiles, write_remedy};

const CA: &str = "ca.pem";
const CA_KEY: &str = "ca-key.pem";
const LEAF: &str = "localhost.pem";
const LEAF_KEY: &str = "localhost-key.pem";
const FILES: [&str; 4] = [CA, CA_KEY, LEAF, LEAF_KEY];

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
    #[arg(long, conflicts_with = "keep")]
    force: bool,
    /// Keep what is there if clients accept it for all names, and make it if there is nothing
    #[arg(long)]
    keep: bool,
}

impl CertsCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        make(&self)
    }
}

fn make(command: &CertsCommand) -> anyhow::Result<()> {
    let CertsCommand { out, name, force, keep } = command;
    let names = DEVELOPMENT_NAMES.into_iter().chain(name.iter().map(String::as_str));
    if *keep && FILES.iter().any(|file| out.join(file).exists()) {
        return check(out, names);
    }
    let made = DevelopmentCertificates::make(names).context("no certificate can be made for these names")?;
    fs::create_dir_all(out).map_err(|error| cannot("make the folder", out, error))?;
    let files = [
        (CA, &made.ca, 0o644),
        (CA_KEY, &made.ca_key, 0o600),
        (LEAF, &made.leaf, 0o644),
        (LEAF_KEY, &made.leaf_key, 0o600),
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
        out.join(LEAF).display(),
        DEVELOPMENT_NAMES.join(", ")
    );
    println!("clients trust it with {}", out.join(CA).display());
    Ok(())
}

/// Leaves everything as it is, and says so if clients accept it.
fn check<'n>(out: &Path, names: impl Iterator<Item = &'n str>) -> anyhow::Result<()> {
    let files = CertificateFiles {
        cert: out.join(LEAF),
        key: out.join(LEAF_KEY),
    };
    verify_files(&files, &out.join(CA), names).with_context(|| {
        format!(
            "what is in {} cannot be kept; pass --force instead of --keep to replace it",
            out.display()
        )
    })?;
    println!("kept {}", files.cert.display());
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
    whole().map_err(|error| cannot("write", path, error))
}

/// The error with what usually helps.
fn cannot(what: &str, path: &Path, error: io::Error) -> anyhow::Error {
    let told = format!("cannot {what} {}{}", path.display(), write_remedy(path, &error));
    anyhow::Error::new(error).context(told)
}
