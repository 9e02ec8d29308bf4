//! What a run found, as JSON and as a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::bound::Bound;

/// One rate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// Puts a second that were to be sent.
    pub offered: u64,
    /// Puts a second whose certificates came.
    pub committed: f64,
    /// Puts sent that count.
    pub sent: u64,
    /// Latency from the intended moment of sending to the certificate, in milliseconds: half of the puts were faster.
    pub p50_ms: f64,
    /// 95 of 100 were faster.
    pub p95_ms: f64,
    /// 99 of 100 were faster.
    pub p99_ms: f64,
    /// 999 of 1,000 were faster.
    pub p999_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// How late the latest put left the generator, in milliseconds: above some ten, it was the generator that could not keep up.
    pub behind_ms: f64,
    /// Puts that failed, by error code.
    pub errors: BTreeMap<String, u64>,
    /// Share of one processor that a node used, on average.
    pub cpu_per_node: f64,
    /// Share of one processor that the generator used.
    pub cpu_generator: f64,
    /// Processor time of a node for each committed put, in microseconds.
    pub cpu_us_per_put: f64,
    /// Processor time of a node for each block, in milliseconds, whatever it carried.
    pub cpu_ms_per_block: f64,
    /// Bytes in RAM of the largest node.
    pub resident: u64,
    /// Open descriptors of the node that has most.
    pub descriptors: u64,
    /// Blocks that were executed.
    pub blocks: u64,
    /// Puts of a block, on average.
    pub puts_per_block: f64,
    /// Journal flushes of a node for each block.
    pub flushes_per_block: f64,
    /// Bytes that a node gave to the network for each committed put; answers and gossip that it passes on are not counted.
    pub bytes_sent_per_put: f64,
    /// View changes that nodes started.
    pub view_changes: u64,
}

impl Step {
    /// Whether the network kept up: nothing failed, nothing piled up, and 99 of 100 were faster than this.
    pub fn keeps_up(&self, p99_limit_ms: f64) -> bool {
        self.errors.is_empty() && self.p99_ms <= p99_limit_ms && self.committed >= 0.95 * self.offered as f64
    }
}

/// One payload: the machine's bound, then the rates.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Payload {
    /// Bytes of a value.
    pub payload: usize,
    /// What the machine could do at best.
    pub bound: Bound,
    /// Puts a second that the bound leaves room for.
    pub bound_per_second: f64,
    /// The shortest path's parts, summed, in milliseconds.
    pub critical_path_ms: f64,
    /// Rates that were tried, in their order.
    pub steps: Vec<Step>,
    /// The highest offered rate that the network kept up with.
    pub highest: Option<u64>,
}

/// A whole run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Validators, of equal weight.
    pub validators: usize,
    /// Processors.
    pub cores: usize,
    /// Seconds of each rate that count.
    pub seconds: u64,
    /// Limit on the p99 of a rate that the network keeps up with.
    pub p99_limit_ms: f64,
    /// By payload.
    pub payloads: Vec<Payload>,
}

impl Report {
    /// The run as a table for people.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{} validators on {} processors, {} s a rate; every put signed by the generator and checked by each validator, \
             every vote flushed before it is sent\n",
            self.validators, self.cores, self.seconds
        );
        for payload in &self.payloads {
            let bound = &payload.bound;
            let _ = writeln!(
                text,
                "\n{} bytes: signing {:.1}, checking {:.1} and hashing {:.1} us a put bound the rate to {:.0}/s; flush {:.0}, hop \
                 {:.0}, check {:.0} us make a shortest path of {:.2} ms",
                payload.payload,
                bound.sign_us,
                bound.check_batched_us,
                bound.hash_us,
                payload.bound_per_second,
                bound.flush_us,
                bound.hop_us,
                bound.check_us,
                payload.critical_path_ms
            );
            let _ = writeln!(
                text,
                "offered  committed   p50 ms   p95 ms   p99 ms  p99.9 ms   max ms  cpu/node  cpu us/put  ms/block  puts/block  \
                 flushes/block  B/put  MiB  views  failed  late ms"
            );
            for step in &payload.steps {
                let _ = writeln!(
                    text,
                    "{:>7}  {:>9.0}  {:>7.1}  {:>7.1}  {:>7.1}  {:>8.1}  {:>7.1}  {:>7.0}%  {:>10.0}  {:>8.2}  {:>10.1}  {:>13.1}  \
                     {:>5.0}  {:>3}  {:>5}  {:>6}  {:>7.1}",
                    step.offered,
                    step.committed,
                    step.p50_ms,
                    step.p95_ms,
                    step.p99_ms,
                    step.p999_ms,
                    step.max_ms,
                    step.cpu_per_node * 100.0,
                    step.cpu_us_per_put,
                    step.cpu_ms_per_block,
                    step.puts_per_block,
                    step.flushes_per_block,
                    step.bytes_sent_per_put,
                    step.resident >> 20,
                    step.view_changes,
                    step.errors.values().sum::<u64>(),
                    step.behind_ms,
                );
            }
            match payload.highest {
                Some(highest) => {
                    let share = highest as f64 / payload.bound_per_second * 100.0;
                    let _ = writeln!(
                        text,
                        "highest rate with p99 within {} ms: {highest}/s, {share:.0} % of the bound",
                        self.p99_limit_ms
                    );
                }
                None => {
                    let _ = writeln!(text, "no rate was kept up with within {} ms", self.p99_limit_ms);
                }
            }
        }
        text
    }
}
