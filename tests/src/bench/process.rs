//! What a process has used, as Linux tells it.

use std::time::Duration;

use anyhow::Context as _;

/// Readings of one process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time of all its threads, in user mode and in the kernel.
    pub cpu: Duration,
    /// Bytes in RAM.
    pub resident: u64,
    /// Most bytes in RAM since it started.
    pub resident_peak: u64,
    /// Open descriptors.
    pub descriptors: u64,
}

impl Usage {
    /// Of a running process.
    ///
    /// # Errors
    /// When it does not run, or the system is no Linux.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let folder = std::path::PathBuf::from(format!("/proc/{pid}"));
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
        };
        let stat = read("stat")?;
        // The name may hold blanks and brackets; what follows the last bracket is numbers. User time is the 12th of them.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
        let used = ticks(11).zip(ticks(12)).map(|(user, kernel)| user.saturating_add(kernel));
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let millis = used.context("no times in stat")?.saturating_mul(1_000) / per_second;
        let status = read("status")?;
        let kibibytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().ok()
        };
        let resident = kibibytes("VmRSS").context("no VmRSS in status")?.saturating_mul(1024);
        let resident_peak = kibibytes("VmHWM").context("no VmHWM in status")?.saturating_mul(1024);
        let descriptors = std::fs::read_dir(folder.join("fd"))?.count() as u64;
        Ok(Self { cpu: Duration::from_millis(millis), resident, resident_peak, descriptors })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_memory_of_this_very_process_are_seen() {
        // Other tests of this process take and give back memory meanwhile: only what is held here is sure to be in the figures.
        const HELD: u64 = 32 << 20;
        let before = Usage::of(std::process::id()).expect("this process runs");
        let held = vec![7_u8; HELD as usize];
        let mut sum = 0_u64;
        let after = loop {
            // Read in any case: others may have used the processor enough already.
            sum = held.iter().fold(sum, |sum, byte| sum.wrapping_add(u64::from(*byte)));
            let after = Usage::of(std::process::id()).expect("it runs");
            if after.cpu >= before.cpu + Duration::from_millis(50) {
                break after;
            }
        };
        assert!(sum > 0 && after.resident >= HELD, "{after:?}");
        assert!(after.resident_peak >= HELD && after.descriptors > 0, "{after:?}");
        assert!(Usage::of(u32::MAX).is_err());
    }
}
