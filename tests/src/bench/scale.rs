//! Where the time of a block goes as validators become more, and how a block spreads among many observers.
//!
//! Validators: real engines agree in one process and are timed; what a message costs to encode and decode and what a flush costs the
//! processor is measured beside it. Real processes have more to do (system calls, the transport's encryption, execution):
//! `bench cluster` shows that, as far as one machine holds the processes.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

use aegis_consensus::Message;
use anyhow::Context as _;

use super::engines::Engines;
use super::process::Usage;

/// The sizes that are measured.
pub const SIZES: [usize; 4] = [4, 7, 13, 31];
/// Blocks that each size agrees on.
const BLOCKS: u32 = 40;
/// Blocks before these.
const WARM_UP: u32 = 5;
/// How often messages are encoded and decoded.
const CODEC_ROUNDS: u32 = 200;
/// Flushes that are measured. The processor time of a process is known by hundredths of a second.
const FLUSHES: u32 = 1_000;
/// Flushes of a block at each validator: before Prepare, before Commit, and the block itself.
const FLUSHES_PER_BLOCK: f64 = 3.0;
/// Bytes of a flush.
const FLUSH_BYTES: usize = 4_096;

/// What a block costs one validator, in milliseconds of a processor.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Validators.
    pub validators: usize,
    /// Consensus messages that one validator receives.
    pub messages: f64,
    /// The engine, signature checks included.
    pub engine_ms: f64,
    /// Decoding what comes and encoding what goes.
    pub codec_ms: f64,
    /// Flushing.
    pub flush_ms: f64,
}

impl Row {
    /// All of it.
    pub fn total_ms(&self) -> f64 {
        self.engine_ms + self.codec_ms + self.flush_ms
    }
}

/// Measures all sizes.
///
/// # Errors
/// When no file can be written.
pub fn measure() -> anyhow::Result<Vec<Row>> {
    let flush_ms = flush_ms()? * FLUSHES_PER_BLOCK;
    Ok(SIZES.into_iter().map(|validators| row(validators, flush_ms)).collect())
}

fn row(validators: usize, flush_ms: f64) -> Row {
    let mut engines = Engines::new(validators);
    for _ in 0..WARM_UP {
        engines.commit_block();
    }
    let (spent, delivered, sent) = (engines.spent, engines.delivered, engines.sent);
    for _ in 0..BLOCKS {
        engines.commit_block();
    }
    let each = f64::from(BLOCKS) * validators as f64;
    let (encode, decode) = codec(&engines.messages);
    let (delivered, sent) =
        ((engines.delivered - delivered) as f64 / each, (engines.sent - sent) as f64 / each);
    Row {
        validators,
        messages: delivered,
        engine_ms: millis(engines.spent - spent) / each,
        codec_ms: delivered * decode + sent * encode,
        flush_ms,
    }
}

/// Milliseconds of encoding and of decoding a message, on average over those of a block.
fn codec(messages: &[Message]) -> (f64, f64) {
    let rounds = f64::from(CODEC_ROUNDS) * messages.len().max(1) as f64;
    let begun = Instant::now();
    for _ in 0..CODEC_ROUNDS {
        for message in messages {
            black_box(message.encode());
        }
    }
    let encode = millis(begun.elapsed()) / rounds;
    let encodings: Vec<Vec<u8>> = messages.iter().map(Message::encode).collect();
    let begun = Instant::now();
    for _ in 0..CODEC_ROUNDS {
        for encoding in &encodings {
            black_box(Message::decode(encoding).is_ok());
        }
    }
    (encode, millis(begun.elapsed()) / rounds)
}

/// Milliseconds of the processor that a flush takes, whatever the disk takes.
fn flush_ms() -> anyhow::Result<f64> {
    let mut file = tempfile::NamedTempFile::new().context("no file for the flushes")?;
    let before = Usage::of(std::process::id())?.cpu;
    for _ in 0..FLUSHES {
        file.write_all(&[0xA5; FLUSH_BYTES])?;
        file.as_file().sync_data()?;
    }
    let spent = Usage::of(std::process::id())?.cpu.saturating_sub(before);
    Ok(millis(spent) / f64::from(FLUSHES))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The rows as a table; growth is against the first row.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "validators  messages in  engine ms  codec ms  flush ms  total ms  messages grew  engine and codec grew\n",
    );
    let Some(first) = rows.first() else { return text };
    let by_messages = |row: &Row| row.engine_ms + row.codec_ms;
    for row in rows {
        let _ = writeln!(
            text,
            "{:>10}  {:>11.1}  {:>9.3}  {:>8.3}  {:>8.3}  {:>8.3}  {:>12.1}x  {:>20.1}x",
            row.validators,
            row.messages,
            row.engine_ms,
            row.codec_ms,
            row.flush_ms,
            row.total_ms(),
            row.messages / first.messages,
            by_messages(row) / by_messages(first),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validator_hears_two_messages_of_each_other() {
        let row = row(7, 0.1);
        // A PrePrepare or Prepare of each other validator, and its Commit.
        assert!((row.messages - 12.0).abs() < 1e-9, "{row:?}");
        assert!(row.engine_ms > 0.0 && row.codec_ms > 0.0);
        let text = table(&[row, Row { messages: 24.0, ..row }]);
        assert!(text.lines().nth(2).is_some_and(|line| line.contains("2.0x")), "{text}");
    }
}
