//! `headpin snapshot`: a heap snapshot of a running proxy, as a file.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use clap::Args;
use http::header::{CONTENT_DISPOSITION, HOST};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tempfile::NamedTempFile;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest silence of the proxy; a snapshot of 100,000 connections begins after a second or two.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest answer that is no snapshot.
const MOST_ERROR: usize = 64 * 1024;

/// Fetches a heap snapshot of a running proxy, for Chrome's DevTools or memlab
///
/// It shows slabs, heads, connections, and who keeps what. In DevTools: Memory, Load profile. The file is there as a whole
/// or not at all, and only its owner may read it: it names clients' addresses.
#[derive(Debug, Args)]
pub(super) struct SnapshotCommand {
    /// Where the proxy's admin endpoints are
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9900")]
    admin: Uri,
    /// The file to write; without it headpin-SECONDS.heapsnapshot in this folder
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

impl SnapshotCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(fetch(self))
    }
}

async fn fetch(command: SnapshotCommand) -> anyhow::Result<()> {
    let SnapshotCommand { admin, out, force } = command;
    if let Some(out) = &out {
        refuse_existing(out, force)?;
    }
    let answer = timeout(PATIENCE, ask(&admin)).await;
    let mut answer = answer.map_err(|_| anyhow!("{admin} does not answer within {PATIENCE:?}"))??;
    if !answer.status().is_success() {
        bail!("{}", refusal(answer).await);
    }
    let out = match out {
        Some(out) => out,
        None => file_name(&answer).context("the answer has no file name; is this headpin's admin endpoint?")?,
    };
    refuse_existing(&out, force)?;
    let bytes = write(&mut answer, &out, force).await?;
    writeln!(std::io::stdout(), "wrote {} ({bytes} bytes)", out.display())?;
    Ok(())
}

fn refuse_existing(out: &Path, force: bool) -> anyhow::Result<()> {
    ensure!(
        force || !out.exists(),
        "{} is there already; give another name with --out, or --force to replace it",
        out.display()
    );
    Ok(())
}

async fn ask(admin: &Uri) -> anyhow::Result<Response<Incoming>> {
    ensure!(
        admin.scheme_str() == Some("http") && matches!(admin.path(), "" | "/") && admin.query().is_none(),
        "--admin must be like http://127.0.0.1:9900, not {admin}"
    );
    let authority = admin.authority().context("--admin has no host")?.as_str();
    let (host, port) = (admin.host().unwrap_or_default(), admin.port_u16().unwrap_or(80));
    let socket = TcpStream::connect((host.trim_matches(['[', ']']), port)).await;
    let socket = socket.with_context(|| {
        format!("cannot reach {admin}; is `headpin serve` running, and is this its admin.listen? --admin names another")
    })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    #[allow(clippy::disallowed_methods, reason = "ends with the command")]
    tokio::spawn(connection);
    let request = Request::get("/snapshot").header(HOST, authority);
    let answer = sender.send_request(request.body(Empty::<Bytes>::new())?).await;
    answer.with_context(|| format!("{admin} did not answer as an admin endpoint does"))
}

/// What the proxy says is wrong.
async fn refusal(answer: Response<Incoming>) -> String {
    let status = answer.status();
    let body = http_body_util::Limited::new(answer.into_body(), MOST_ERROR).collect();
    let body = timeout(PATIENCE, body).await.ok().and_then(Result::ok);
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    match serde_json::from_slice::<serde_json::Value>(&body) {
        Ok(json) if json["error"].is_string() => json["error"].as_str().unwrap_or_default().to_owned(),
        _ => format!("the answer is {status}, which is no snapshot; is this headpin's admin endpoint?"),
    }
}

/// The name that the proxy gives, without any folder.
fn file_name(answer: &Response<Incoming>) -> Option<PathBuf> {
    let header = answer.headers().get(CONTENT_DISPOSITION)?.to_str().ok()?;
    let name = header.split_once("filename=\"")?.1.split_once('"')?.0;
    Path::new(name).file_name().map(PathBuf::from)
}

/// Writes beside the file that is to be, and puts it in place when it is complete.
async fn write(answer: &mut Response<Incoming>, out: &Path, force: bool) -> anyhow::Result<u64> {
    let what = || format!("cannot write {}", out.display());
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new("."))).with_context(what)?;
    let mut bytes = 0;
    loop {
        let frame = timeout(PATIENCE, answer.frame()).await;
        let frame = frame.map_err(|_| anyhow!("the proxy has sent nothing for {PATIENCE:?}; nothing was written"))?;
        let Some(frame) = frame else { break };
        let frame = frame.context("the proxy has broken off, its log says why; nothing was written")?;
        if let Some(data) = frame.data_ref() {
            file.write_all(data).with_context(what)?;
            bytes += data.len() as u64;
        }
    }
    file.as_file().sync_all().with_context(what)?;
    let placed = if force {
        file.persist(out).map(drop).map_err(|error| error.error)
    } else {
        file.persist_noclobber(out).map(drop).map_err(|error| error.error)
    };
    placed.with_context(what)?;
    Ok(bytes)
}
