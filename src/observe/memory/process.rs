//! What the kernel says about the process: its mappings, and which of them are resident.

use std::fs;

/// Resident memory, in bytes, by what the mappings are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resident {
    /// All of it: VmRSS, from the same reading as the rest.
    pub total: u64,
    /// Mapped files with what was written to their pages, data without a file, stacks.
    pub code_and_stacks: u64,
    /// Heap of the C library, which aws-lc allocates from.
    pub c_heap: u64,
    /// What the allocator mapped.
    pub heap: u64,
}

impl Resident {
    /// Reads `/proc/self/smaps`; `None` where there is no such file.
    ///
    /// The kernel walks the page tables for it: about a millisecond, and one more for each GiB.
    #[must_use]
    pub fn read() -> Option<Self> {
        Some(Self::parse(&fs::read_to_string("/proc/self/smaps").ok()?))
    }

    /// Tells the allocator's anonymous mappings from others, mainly the stacks, by the flag `nr`: jemalloc maps with
    /// `MAP_NORESERVE`, threads do not (proc_pid_smaps(5), mmap(2)). It does so unless `vm.overcommit_memory` is 2; then
    /// no mapping has that flag, and all anonymous memory without a name is taken for the allocator's.
    fn parse(smaps: &str) -> Self {
        let mut sum = Self::default();
        let mut stacks = 0;
        let mut mapping = Mapping::default();
        for line in smaps.lines() {
            // Two dozen lines a mapping, and many mappings: most are looked at no further than this.
            if let Some(value) = line.strip_prefix("Rss:") {
                mapping.resident = kibibytes(value);
            } else if let Some(value) = line.strip_prefix("VmFlags:") {
                let bytes = mapping.resident;
                sum.total += bytes;
                match mapping.kind {
                    Kind::CHeap => sum.c_heap += bytes,
                    Kind::Named => sum.code_and_stacks += bytes,
                    Kind::Anonymous if value.split_whitespace().any(|flag| flag == "nr") => sum.heap += bytes,
                    Kind::Anonymous => stacks += bytes,
                }
            } else if begins_mapping(line) {
                mapping = Mapping::begin(line);
            }
        }
        if sum.heap == 0 {
            sum.heap = stacks;
        } else {
            sum.code_and_stacks += stacks;
        }
        sum
    }
}

#[derive(Default)]
struct Mapping {
    kind: Kind,
    resident: u64,
}

#[derive(Default)]
enum Kind {
    #[default]
    Named,
    CHeap,
    Anonymous,
}

impl Mapping {
    fn begin(line: &str) -> Self {
        let kind = match line.split_whitespace().nth(5) {
            None => Kind::Anonymous,
            Some("[heap]") => Kind::CHeap,
            Some(_) => Kind::Named,
        };
        Self { kind, resident: 0 }
    }
}

/// `7f5a-7f5b rw-p 00000000 00:00 0   name`: a mapping begins with its addresses, in lower case; its fields with a capital.
fn begins_mapping(line: &str) -> bool {
    !line.as_bytes().first().is_some_and(u8::is_ascii_uppercase)
}

fn kibibytes(value: &str) -> u64 {
    let number = value.trim().strip_suffix("kB").map(str::trim);
    number.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
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
            if begins_mapping(line) {
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
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_program_is_found_among_the_mappings() {
        let program = program_bytes().expect("a mapping");
        assert!(program > 1 << 16, "{program}");
        assert!(Resident::read().is_some_and(|all| program < all.total));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_resident_set_is_read() {
        let resident = Resident::read().expect("it is Linux");
        assert!(resident.total > 1 << 20, "{resident:?}");
        assert_eq!(
            resident.total,
            resident.heap + resident.c_heap + resident.code_and_stacks
        );
    }

    #[test]
    fn mappings_are_told_apart() {
        let smaps = "\
55cc-55cd r-xp 00575000 fe:00 6236947      /usr/bin/headpin: the proxy
Rss:                 100 kB
VmFlags: rd ex mr mw me
56cc-56cd rw-p 00000000 00:00 0            [heap]
Rss:                  10 kB
VmFlags: rd wr mr mw me ac
7f5a-7f5b rw-p 00000000 00:00 0
Rss:                2000 kB
VmFlags: rd wr mr mw me nr
7f5b-7f5c rw-p 00000000 00:00 0
Rss:                  40 kB
VmFlags: rd wr mr mw me ac nh
";
        let expected = Resident {
            total: 2150 * 1024,
            code_and_stacks: 140 * 1024,
            c_heap: 10 * 1024,
            heap: 2000 * 1024,
        };
        assert_eq!(Resident::parse(smaps), expected);
        let strict = Resident::parse(&smaps.replace(" nr", ""));
        assert_eq!((strict.heap, strict.code_and_stacks), (2040 * 1024, 100 * 1024));
    }
}
