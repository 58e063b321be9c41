//! What the kernel says about the process.

use std::fs;

/// Resident set in bytes, from `/proc/self/smaps_rollup`, which is exact where `statm` lags behind by some pages a
/// thread; `None` where there is no such file.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Resident pages of the program's own file, text and constants, in bytes; `None` where `/proc/self/smaps` is not.
#[must_use]
pub fn program_bytes() -> Option<u64> {
    let program = fs::read_link("/proc/self/exe").ok()?;
    let program = program.to_str()?.to_owned();
    let maps = fs::read_to_string("/proc/self/smaps").ok()?;
    let mut of_program = false;
    let mut kibibytes = 0;
    for line in maps.lines() {
        let Some(rest) = line.strip_prefix("Rss:") else {
            // A mapping begins with its addresses, in lower case; its fields with a capital.
            if line.starts_with(|first: char| !first.is_ascii_uppercase()) {
                of_program = line.ends_with(&program);
            }
            continue;
        };
        if of_program {
            kibibytes += rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
        }
    }
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn the_program_is_found_among_the_mappings() {
        let program = super::program_bytes().expect("a mapping");
        assert!(program > 1 << 16, "{program}");
        assert!(super::resident_bytes().is_some_and(|all| program < all));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_resident_set_is_read() {
        assert!(super::resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
