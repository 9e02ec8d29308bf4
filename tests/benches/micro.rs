//! What single operations cost: `cargo bench -p aegis-tests`.

use std::hint::black_box;

use aegis_consensus::Message;
use aegis_store::{Journal, SegmentOptions};
use aegis_tests::bench::engines::Engines;
use aegis_tests::sim::application::Application;
use aegis_types::{
    Batch, BlockKind, Canonical as _, Certificate, CommittedBlock, Domain, Epoch, Executed, Genesis, Hash,
    Header, Height, Keypair, Member, Parameters, Proposal, ProposalBody, ValidatorSet, View, Vote,
    VoteContent, VoteKind, Weight,
};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// Proposals of a batch.
const PROPOSALS: u64 = 256;
/// Bytes of a value.
const PAYLOAD: usize = 512;
const GENESIS_MS: u64 = 1_800_000_000_000;

fn key(index: u64) -> Keypair {
    Keypair::from_seed(&Hash::of("micro bench 1", &index.to_be_bytes()).0)
}

fn genesis(validators: u64) -> Genesis {
    let member = |index| Member { validator: key(index).validator_id(), weight: Weight(1) };
    Genesis {
        chain: "micro".parse().expect("a name"),
        timestamp_ms: GENESIS_MS,
        validators: ValidatorSet::new(Epoch::ZERO, (0..validators).map(member).collect()).expect("a set"),
        parameters: Parameters::default(),
    }
}

fn proposal(number: u64, domain: &Domain) -> Proposal {
    let body = ProposalBody::KvPut { key: format!("key/{number}"), value: vec![7; PAYLOAD] };
    let expires = GENESIS_MS + 60_000;
    Proposal::sign(body, expires, number.to_string(), &key(1_000 + number % 16), domain).expect("a proposal")
}

fn batch(sequence: u64, domain: &Domain) -> Batch {
    let first = sequence * PROPOSALS;
    Batch {
        author: key(0).validator_id(),
        sequence,
        proposals: (first..first + PROPOSALS).map(|number| proposal(number, domain)).collect(),
    }
}

fn votes(genesis: &Genesis) -> (VoteContent, Vec<Vote>) {
    let content = VoteContent {
        kind: VoteKind::Commit,
        epoch: Epoch::ZERO,
        view: View::ZERO,
        height: Height(1),
        digest: Hash::of("micro bench header 1", b""),
    };
    let count = u64::try_from(genesis.validators.members().len()).expect("few");
    let domain = genesis.domain();
    (content, (0..count).map(|index| Vote::sign(content, &key(index), &domain)).collect())
}

fn signatures(criterion: &mut Criterion) {
    let genesis = genesis(4);
    let domain = genesis.domain();
    let batch = batch(0, &domain);
    let mut group = criterion.benchmark_group("client signatures");
    group.throughput(Throughput::Elements(PROPOSALS));
    group.bench_function("256 in a batch", |bench| bench.iter(|| batch.verify(&domain, [9; 32])));
    group.throughput(Throughput::Elements(1));
    group.bench_function("sign", |bench| bench.iter(|| proposal(black_box(1), &domain)));
    group.finish();
    let (content, votes) = votes(&genesis);
    criterion.bench_function("vote signature", |bench| bench.iter(|| votes[0].verify(&domain)));
    for members in [4, 13, 31] {
        let genesis = self::genesis(members);
        let (_, votes) = self::votes(&genesis);
        let index = |vote: &Vote| genesis.validators.index_of(&vote.validator).expect("a member");
        let mut signatures: Vec<_> =
            votes.iter().map(|vote| (u32::try_from(index(vote)).expect("few"), vote.signature)).collect();
        signatures.sort_by_key(|(index, _)| *index);
        let certificate = Certificate { content, signatures };
        let domain = genesis.domain();
        criterion.bench_function(&format!("certificate of {members}"), |bench| {
            bench.iter(|| certificate.verify(&genesis.validators, &domain));
        });
    }
}

fn encoding(criterion: &mut Criterion) {
    let genesis = genesis(4);
    let batch = batch(0, &genesis.domain());
    let encoded = batch.encode();
    let mut group = criterion.benchmark_group("batch of 256");
    group.throughput(Throughput::Bytes(u64::try_from(encoded.len()).expect("small")));
    group.bench_function("hash", |bench| bench.iter(|| Batch::digest_of_encoding(black_box(&encoded))));
    group.bench_function("encode", |bench| bench.iter(|| batch.encode()));
    group.bench_function("decode", |bench| bench.iter(|| Batch::decode(black_box(&encoded))));
    group.finish();
    let (_, votes) = votes(&genesis);
    let message = Message::Vote(votes[0].clone());
    let encoded = message.encode();
    criterion.bench_function("vote encode", |bench| bench.iter(|| message.encode()));
    criterion.bench_function("vote decode", |bench| bench.iter(|| Message::decode(black_box(&encoded))));
}

fn agreement(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engines agree on a block");
    for validators in [4, 7, 13, 31] {
        let mut engines = Engines::new(validators);
        // For each validator: divide by the number to have what one spends.
        group.bench_function(format!("{validators} validators, all"), |bench| {
            bench.iter(|| engines.commit_block());
        });
    }
    group.finish();
}

fn execution(criterion: &mut Criterion) {
    let genesis = genesis(1);
    let domain = genesis.domain();
    let block = |parent: Hash| {
        let batch = batch(0, &domain);
        let header = Header {
            epoch: Epoch::ZERO,
            height: Height(1),
            timestamp_ms: GENESIS_MS + 1,
            parent,
            proposer: key(0).validator_id(),
            batches: vec![batch.reference()],
            executed: Executed::default(),
            validators_hash: genesis.validators.hash(),
            kind: BlockKind::Normal,
        };
        let content = VoteContent {
            kind: VoteKind::Commit,
            epoch: Epoch::ZERO,
            view: View::ZERO,
            height: Height(1),
            digest: header.digest(),
        };
        let vote = Vote::sign(content, &key(0), &domain);
        let certificate = Certificate { content, signatures: vec![(0, vote.signature)] };
        CommittedBlock { header, certificate, batches: vec![batch] }
    };
    let block = block(genesis.hash());
    let mut group = criterion.benchmark_group("ledger");
    group.throughput(Throughput::Elements(PROPOSALS));
    group.bench_function("block of 256 puts", |bench| {
        bench.iter_batched(
            || Application::genesis(&genesis).expect("a state"),
            |mut application| application.apply(&block).expect("applied"),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn flushing(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = SegmentOptions { segment_bytes: 64 << 20 };
    let (mut journal, _) = Journal::open(folder.path(), options).expect("a journal");
    let mut group = criterion.benchmark_group("journal");
    group.sample_size(50);
    group.bench_function("append 400 bytes and flush", |bench| {
        bench.iter(|| {
            journal.append(&[3; 400]);
            journal.flush().expect("flushed");
        });
    });
    group.finish();
}

criterion_group!(micro, signatures, encoding, agreement, execution, flushing);
criterion_main!(micro);
