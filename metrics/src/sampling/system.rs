//! What the operating system says about this process.

use std::time::Duration;

/// Readings of the process. A reading that fails is nothing, and becomes a gap.
pub trait SystemReadings {
    /// Processor time that the process has used since it started, over all its threads.
    fn cpu_time(&mut self) -> Option<Duration>;

    /// Memory of the process that is resident, in bytes.
    fn memory_bytes(&mut self) -> Option<u64>;
}

/// The process that calls: processor time from its clock, memory from `/proc/self/statm`. Where there is no such file
/// (outside Linux), memory is a gap.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessReadings;

impl SystemReadings for ProcessReadings {
    fn cpu_time(&mut self) -> Option<Duration> {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Some(Duration::new(u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?))
    }

    fn memory_bytes(&mut self) -> Option<u64> {
        let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
        let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
        pages.checked_mul(u64::try_from(rustix::param::page_size()).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn work_and_memory_of_this_process_show_in_its_readings() {
        let mut readings = ProcessReadings;
        let (cpu, memory) = (readings.cpu_time().unwrap(), readings.memory_bytes().unwrap());
        assert!(memory > 100_000, "{memory}");
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        let grown = readings.memory_bytes().unwrap();
        assert!(grown > memory + (32 << 20), "{memory} {grown}");
        assert_eq!(block.iter().map(|byte| u64::from(*byte)).sum::<u64>(), 64 << 20);
        assert!(readings.cpu_time().unwrap() > cpu);
    }
}
