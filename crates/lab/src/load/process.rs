//! What a process and its descendants take, from `/proc`.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::Serialize;

/// The unit of CPU times in `/proc`: Linux shows all programs 100 a second, whatever the kernel's own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process and its descendants at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ProcessSample {
    /// How many processes.
    pub processes: u64,
    /// CPU time in user mode, that of ended children included.
    pub user_seconds: f64,
    /// CPU time in the kernel, likewise.
    pub system_seconds: f64,
    /// Resident memory.
    pub rss_bytes: u64,
    /// Resident memory, pages that are shared counted in proportion. `None` if not asked for or not allowed.
    pub pss_bytes: Option<u64>,
}

impl ProcessSample {
    /// All CPU time.
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        self.user_seconds + self.system_seconds
    }
}

/// How closely to look: PSS costs the watched process time for every page it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// CPU and RSS.
    Brief,
    /// PSS as well.
    Close,
}

/// Samples `root` and its descendants.
///
/// # Errors
/// If there is no such process.
pub fn sample_tree(root: u32, look: Look) -> io::Result<ProcessSample> {
    fs::metadata(format!("/proc/{root}"))?;
    let mut parents = HashMap::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process that ended meanwhile is not counted.
        if let Ok(stat) = Stat::read(pid) {
            parents.insert(pid, stat);
        }
    }
    let mut total = ProcessSample::default();
    for (pid, stat) in parents.iter().filter(|(pid, _)| descends(**pid, root, &parents)) {
        total.add(*pid, stat, look);
    }
    Ok(total)
}

/// Samples one process without its descendants.
///
/// # Errors
/// If there is no such process.
pub fn sample_one(pid: u32, look: Look) -> io::Result<ProcessSample> {
    let mut sample = ProcessSample::default();
    sample.add(pid, &Stat::read(pid)?, look);
    Ok(sample)
}

/// The command's name.
///
/// # Errors
/// If there is no such process.
pub fn command_name(pid: u32) -> io::Result<String> {
    Ok(fs::read_to_string(format!("/proc/{pid}/comm"))?.trim_end().to_owned())
}

impl ProcessSample {
    fn add(&mut self, pid: u32, stat: &Stat, look: Look) {
        self.processes += 1;
        self.user_seconds += stat.user_ticks as f64 / TICKS_PER_SECOND;
        self.system_seconds += stat.system_ticks as f64 / TICKS_PER_SECOND;
        let close = (look == Look::Close).then(|| kilobytes(&format!("/proc/{pid}/smaps_rollup"), ["Rss:", "Pss:"]));
        if let Some(Ok([rss, pss])) = close {
            self.rss_bytes += rss;
            *self.pss_bytes.get_or_insert(0) += pss;
        } else if let Ok([rss]) = kilobytes(&format!("/proc/{pid}/status"), ["VmRSS:"]) {
            self.rss_bytes += rss;
        }
    }
}

struct Stat {
    parent: u32,
    user_ticks: u64,
    system_ticks: u64,
}

impl Stat {
    fn read(pid: u32) -> io::Result<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat"))?).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// proc_pid_stat(5). Children that were waited for are counted with their parent, as their own entry is gone.
    fn parse(text: &str) -> Option<Self> {
        // The second field is a name that may itself hold spaces and brackets.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            parent: u32::try_from(number(4)?).ok()?,
            user_ticks: number(14)? + number(16)?,
            system_ticks: number(15)? + number(17)?,
        })
    }
}

fn descends(pid: u32, root: u32, parents: &HashMap<u32, Stat>) -> bool {
    let chain = std::iter::successors(Some(pid), |pid| parents.get(pid).map(|stat| stat.parent));
    // Processes that start and end between two reads could in theory close a ring.
    chain.take(parents.len() + 1).any(|pid| pid == root)
}

/// The values of `fields`, in bytes; a field that is missing counts as nothing.
fn kilobytes<const N: usize>(path: &str, fields: [&str; N]) -> io::Result<[u64; N]> {
    let text = fs::read_to_string(path)?;
    Ok(fields.map(|field| {
        let value = text.lines().find_map(|line| line.strip_prefix(field));
        let number = value.and_then(|value| value.trim().trim_end_matches("kB").trim_end().parse::<u64>().ok());
        number.unwrap_or(0) * 1024
    }))
}

/// The scheduler's view of one of our own threads.
#[derive(Clone, Debug)]
pub(super) struct ThreadClock(PathBuf);

/// What a thread did with its time, in seconds since it began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ThreadTimes {
    /// On a core.
    pub(super) ran: f64,
    /// Ready to run, and no core was free.
    pub(super) waited: f64,
}

impl ThreadClock {
    /// Of the thread that calls.
    pub(super) fn of_this_thread() -> io::Result<Self> {
        Ok(Self(
            PathBuf::from("/proc")
                .join(fs::read_link("/proc/thread-self")?)
                .join("schedstat"),
        ))
    }

    /// Nothing, where the kernel does not keep these times.
    pub(super) fn read(&self) -> ThreadTimes {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        let mut seconds = text
            .split_whitespace()
            .map(|nanos| nanos.parse::<u64>().unwrap_or(0) as f64 / 1e9);
        ThreadTimes {
            ran: seconds.next().unwrap_or(0.0),
            waited: seconds.next().unwrap_or(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_name() {
        let line = "7 (a) b (c)) S 3 7 7 0 -1 4194560 1 0 0 0 11 22 33 44 20 0 1 0 5 1 1";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.parent, stat.user_ticks, stat.system_ticks), (3, 44, 66));
        assert!(Stat::parse("7 (a").is_none());
    }

    #[test]
    fn a_tree_holds_children_and_not_others() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 30 & a=$!; sleep 30 & b=$!; read _; kill $a $b"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        let sample = loop {
            let sample = sample_tree(shell.id(), Look::Close).unwrap();
            if sample.processes == 3 || tokio::time::Instant::now() > deadline {
                break sample;
            }
            std::thread::yield_now();
        };
        let one = sample_one(shell.id(), Look::Brief).unwrap();
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert_eq!((sample.processes, one.processes), (3, 1));
        assert!(sample.rss_bytes > one.rss_bytes && sample.pss_bytes.unwrap() <= sample.rss_bytes);
        assert!(sample_tree(shell.id(), Look::Brief).is_err(), "it has ended");
    }

    #[test]
    fn a_thread_that_works_is_seen_to() {
        let clock = ThreadClock::of_this_thread().unwrap();
        let before = clock.read();
        let mut hash = 0_u64;
        while clock.read().ran - before.ran < 0.02 {
            hash = (0..100_000).fold(hash, |hash, next: u64| hash.rotate_left(5) ^ next);
        }
        assert!(std::hint::black_box(hash) != 1);
    }
}
