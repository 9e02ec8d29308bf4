//! What this machine could do at best: the parts of the work that no design avoids, each measured alone and in the same run.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use aegis_types::{Batch, Canonical as _, ChainId, Domain, Hash, Keypair, Proposal, ProposalBody, Purpose};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Proposals that are signed and checked.
const PROPOSALS: usize = 2_048;
/// Proposals of one checked batch.
const BATCH: usize = 256;
/// Flushes, hops and single checks that are measured; their median counts.
const SAMPLES: usize = 300;
/// Bytes of one flush: a vote or two and a batch's reference.
const FLUSH_BYTES: usize = 4_096;
/// Bytes of one hop: a vote.
const HOP_BYTES: usize = 256;

/// Costs in microseconds, one thread, nothing else running.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bound {
    /// Bytes of a proposal's value.
    pub payload: usize,
    /// Signing one proposal, its encoding included.
    pub sign_us: f64,
    /// Checking one client signature, in batches of 256.
    pub check_batched_us: f64,
    /// Hashing one proposal.
    pub hash_us: f64,
    /// Appending 4 KiB to a file and making them durable: the median.
    pub flush_us: f64,
    /// One way over a loopback TCP connection: half the median of the round trips.
    pub hop_us: f64,
    /// Checking one vote's signature strictly: the median.
    pub check_us: f64,
    /// Processors.
    pub cores: usize,
}

impl Bound {
    /// Measures. Files go to `folder`.
    ///
    /// # Errors
    /// When the system does not let a file be written or a connection be made.
    pub fn measure(payload: usize, folder: &Path) -> anyhow::Result<Self> {
        let domain = Domain::new("bench".parse::<ChainId>()?, Hash::ZERO);
        let keys: Vec<Keypair> = (0..16).map(|seed| Keypair::from_seed(&[seed; 32])).collect();
        let body = |number: usize| ProposalBody::KvPut {
            key: format!("bench/{number}"),
            value: vec![u8::try_from(number % 251).unwrap_or_default(); payload],
        };
        let sign = |number: usize| {
            Proposal::sign(body(number), u64::MAX, number.to_string(), &keys[number % keys.len()], &domain)
        };
        let begun = Instant::now();
        let mut proposals = Vec::with_capacity(PROPOSALS);
        let mut bytes = 0;
        for number in 0..PROPOSALS {
            let proposal = sign(number)?;
            bytes += proposal.encode().len();
            proposals.push(proposal);
        }
        let sign_us = micros_each(begun.elapsed(), PROPOSALS);

        let batches: Vec<Batch> = proposals
            .chunks(BATCH)
            .zip(0..)
            .map(|(chunk, sequence)| Batch {
                author: keys[0].validator_id(),
                sequence,
                proposals: chunk.to_vec(),
            })
            .collect();
        let begun = Instant::now();
        for (batch, seed) in batches.iter().zip(0..) {
            batch.verify(&domain, [seed; 32])?;
        }
        let check_batched_us = micros_each(begun.elapsed(), PROPOSALS);

        let encodings: Vec<Vec<u8>> = batches.iter().map(|batch| batch.encode()).collect();
        let begun = Instant::now();
        let digests: Vec<Hash> =
            encodings.iter().map(|encoding| Batch::digest_of_encoding(encoding)).collect();
        let hash_us = micros_each(begun.elapsed(), PROPOSALS);
        anyhow::ensure!(
            digests.len() == batches.len() && bytes > PROPOSALS * payload,
            "nothing was measured"
        );

        Ok(Self {
            payload,
            sign_us,
            check_batched_us,
            hash_us,
            flush_us: flush(folder)?,
            hop_us: hop()?,
            check_us: check(&domain, &keys[0])?,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        })
    }

    /// Proposals a second that signing once, and checking and hashing at each validator, leave room for on these processors.
    pub fn proposals_per_second(&self, validators: usize) -> f64 {
        let each = (validators as f64).mul_add(self.check_batched_us + self.hash_us, self.sign_us);
        self.cores as f64 * 1e6 / each
    }

    /// The shortest path from submission to certificate, in microseconds.
    pub fn critical_path_us(&self) -> f64 {
        f64::from(FLUSHES) * self.flush_us + f64::from(HOPS) * self.hop_us + f64::from(CHECKS) * self.check_us
    }
}

/// Messages that follow one after the other from a put's submission at the leader to the certificate in the client's hands:
/// the client's, PrePrepare with batch, Prepare, Commit, the reply.
const HOPS: u32 = 5;
/// A flush before Prepare and one before Commit.
const FLUSHES: u32 = 2;
/// The client's signature at the leader and at the others, the PrePrepare's, and those of the last Prepare and the last Commit:
/// earlier votes can be checked while these are under way.
const CHECKS: u32 = 5;

fn micros_each(elapsed: Duration, count: usize) -> f64 {
    elapsed.as_secs_f64() * 1e6 / count as f64
}

fn median_us(mut samples: Vec<Duration>) -> f64 {
    samples.sort_unstable();
    samples.get(samples.len() / 2).map_or(0.0, |median| median.as_secs_f64() * 1e6)
}

fn flush(folder: &Path) -> anyhow::Result<f64> {
    let mut file = tempfile::NamedTempFile::new_in(folder).context("no file for the flushes")?;
    let piece = vec![0xA5; FLUSH_BYTES];
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let begun = Instant::now();
        file.write_all(&piece)?;
        file.as_file().sync_data()?;
        samples.push(begun.elapsed());
    }
    Ok(median_us(samples))
}

fn hop() -> anyhow::Result<f64> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let echo = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut piece = [0; HOP_BYTES];
        for _ in 0..SAMPLES {
            stream.read_exact(&mut piece)?;
            stream.write_all(&piece)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut piece = [1; HOP_BYTES];
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let begun = Instant::now();
        stream.write_all(&piece)?;
        stream.read_exact(&mut piece)?;
        samples.push(begun.elapsed() / 2);
    }
    echo.join().map_err(|_| anyhow::anyhow!("the echo ended early"))??;
    Ok(median_us(samples))
}

fn check(domain: &Domain, key: &Keypair) -> anyhow::Result<f64> {
    let content = [3; 128];
    let signature = key.sign(domain, Purpose::Prepare, &content);
    let signer = key.validator_id();
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let begun = Instant::now();
        let is_valid =
            aegis_types::crypto::verify_strict(domain, Purpose::Prepare, &content, &signer, &signature);
        anyhow::ensure!(is_valid, "an own signature does not hold");
        samples.push(begun.elapsed());
    }
    Ok(median_us(samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_costs_something_and_more_validators_cost_more() {
        let bound = Bound::measure(512, &std::env::temp_dir()).expect("measured");
        let parts = [bound.sign_us, bound.check_batched_us, bound.hash_us, bound.flush_us, bound.hop_us];
        assert!(parts.iter().all(|part| *part > 0.0) && bound.check_us > 0.0, "{bound:?}");
        assert!(bound.proposals_per_second(4) > bound.proposals_per_second(13));
        assert!(bound.critical_path_us() > 2.0 * bound.flush_us);
    }
}
