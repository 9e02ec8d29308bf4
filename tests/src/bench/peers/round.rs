//! A closed loop of many clients.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::Plan;
use crate::bench::process::Usage;

/// Each measurement begins so long before it counts.
const WARM_UP: Duration = Duration::from_secs(2);
/// After a failure a client waits, so that a system that refuses is not flooded.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Three significant digits, from a microsecond to a minute.
const LATENCY_MAX_US: u64 = 60_000_000;

/// One measurement of one system.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Round {
    /// Whose.
    pub system: String,
    /// Acknowledged puts a second.
    pub per_second: f64,
    /// Half of the puts were faster, in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 were faster.
    pub p99_ms: f64,
    /// Puts that failed.
    pub failed: u64,
    /// Bytes in RAM of its largest process at the end.
    pub resident: u64,
}

/// A client: puts one value and waits for the acknowledgement.
pub trait Putter: Send + 'static {
    /// Puts the value of the client's so manieth put.
    fn put(&mut self, number: u64) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Lets the clients put for the planned time.
///
/// # Errors
/// When nothing at all was acknowledged, with what a client was told; when a process of the system has ended.
pub async fn run<P: Putter>(
    plan: &Plan,
    system: &str,
    clients: Vec<P>,
    processes: &[u32],
) -> anyhow::Result<Round> {
    let from = Instant::now() + WARM_UP;
    let until = from + plan.duration;
    let tasks: Vec<_> =
        clients.into_iter().map(|client| tokio::spawn(put_until(client, from, until))).collect();
    let mut latency = Histogram::<u64>::new_with_bounds(1, LATENCY_MAX_US, 3)?;
    let (mut failed, mut failure) = (0, None);
    for task in tasks {
        let outcome = task.await??;
        latency.add(&outcome.latency)?;
        failed += outcome.failed;
        failure = failure.or(outcome.failure);
    }
    if latency.is_empty() {
        let failure = failure.unwrap_or_else(|| anyhow::anyhow!("no client got an answer in time"));
        return Err(failure.context(format!("{system} acknowledged nothing")));
    }
    let mut resident = 0;
    for pid in processes {
        let usage = Usage::of(*pid).with_context(|| format!("a process of {system} has ended"))?;
        resident = resident.max(usage.resident);
    }
    Ok(Round {
        system: system.to_owned(),
        per_second: latency.len() as f64 / plan.duration.as_secs_f64(),
        p50_ms: latency.value_at_quantile(0.5) as f64 / 1e3,
        p99_ms: latency.value_at_quantile(0.99) as f64 / 1e3,
        failed,
        resident,
    })
}

struct Outcome {
    latency: Histogram<u64>,
    failed: u64,
    failure: Option<anyhow::Error>,
}

async fn put_until(mut client: impl Putter, from: Instant, until: Instant) -> anyhow::Result<Outcome> {
    let latency = Histogram::new_with_bounds(1, LATENCY_MAX_US, 3)?;
    let mut outcome = Outcome { latency, failed: 0, failure: None };
    for number in 0.. {
        let begun = Instant::now();
        if begun >= until {
            break;
        }
        let result = client.put(number).await;
        if result.is_err() {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        // What is acknowledged within the time counts, whenever it was sent: so neither end favours a slow system.
        let now = Instant::now();
        if now < from || now >= until {
            continue;
        }
        match result {
            Ok(()) => {
                let micros = u64::try_from(now.duration_since(begun).as_micros()).unwrap_or(LATENCY_MAX_US);
                outcome.latency.saturating_record(micros.max(1));
            }
            Err(error) => {
                outcome.failed += 1;
                outcome.failure = Some(error);
            }
        }
    }
    Ok(outcome)
}
