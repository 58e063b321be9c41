//! How much memory the process may have.

use std::fs;
use std::path::{Path, PathBuf};

/// The least of the machine's memory and the limits of the process's cgroup (version 2 or 1) and its ancestors, in
/// bytes; `None` where there is no `/proc`. Sources: cgroups(7), and `memory.max` in the kernel's `cgroup-v2` guide.
#[must_use]
pub fn limit_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().filter_map(|line| {
        let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => return None,
        };
        least_of_group(Path::new(root), Path::new(group), file)
    });
    limits.chain(machine_bytes()).min()
}

/// The least number in the files called `file` of `group` and its ancestors below `root`. "max" is no number.
fn least_of_group(root: &Path, group: &Path, file: &str) -> Option<u64> {
    let groups = group.ancestors().map(|group| -> PathBuf {
        let below_root = group.strip_prefix("/").unwrap_or(group);
        root.join(below_root).join(file)
    });
    groups
        .filter_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok())
        .min()
}

fn machine_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ancestor_may_have_the_least_limit() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("outer/inner");
        fs::create_dir_all(&group).unwrap();
        let least = || least_of_group(root.path(), Path::new("/outer/inner"), "memory.max");
        assert_eq!(least(), None);
        fs::write(group.join("memory.max"), "max\n").unwrap();
        assert_eq!(least(), None);
        fs::write(group.join("memory.max"), "300\n").unwrap();
        fs::write(root.path().join("outer/memory.max"), "200\n").unwrap();
        assert_eq!(least(), Some(200));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn there_is_a_limit_and_it_is_not_above_the_machine() {
        assert!(limit_bytes().unwrap() > 0);
        assert!(limit_bytes() <= machine_bytes());
    }
}
