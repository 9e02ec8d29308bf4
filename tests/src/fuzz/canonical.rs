//! The canonical decoders of `aegis_types`, and of the reports that nodes gossip. The first byte chooses the type, the others
//! are its encoding.

use std::fmt::Debug;

use aegis_metrics::reports::{ChannelSummary, ReportedValues};
use aegis_metrics::{Micro, Report, ReportEvidence, SignedReport};
use aegis_types::{
    Batch, BatchRef, Canonical, Certificate, CertifiedHeader, CommittedBlock, Genesis, Handover, Header,
    Kind, KvRecord, Proposal, ProposalBody, SampledVotes, StateProof, ValidatorSet, Vote, VoteContent,
};

use super::{memory, samples};

const TYPES: [fn(&[u8]); 10] = [
    check::<VoteContent>,
    check::<Vote>,
    check::<Certificate>,
    check::<Proposal>,
    check::<Batch>,
    check::<BatchRef>,
    check::<Header>,
    check::<CommittedBlock>,
    check::<ValidatorSet>,
    check::<Genesis>,
];

/// Reports and proofs have the choices from here on, far from the others, so that what stands in the corpus keeps its meaning.
const LATER: usize = 128;
const LATER_TYPES: [fn(&[u8]); 8] = [
    check::<Report>,
    check::<SignedReport>,
    check::<ReportEvidence>,
    check::<SampledVotes>,
    check::<KvRecord>,
    check::<StateProof>,
    check::<CertifiedHeader>,
    check::<Handover>,
];

/// Whatever decodes is the encoding of what it decodes to.
///
/// # Panics
/// When that does not hold, or a decoder takes too much memory.
pub fn run(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else { return };
    let choice = usize::from(*choice);
    let later = choice.checked_sub(LATER).and_then(|choice| LATER_TYPES.get(choice));
    match TYPES.get(choice).or(later) {
        Some(check) => check(bytes),
        None => check_body(Kind::ALL[(choice - TYPES.len()) % Kind::ALL.len()], bytes),
    }
}

fn check<T: Canonical + PartialEq + Debug>(bytes: &[u8]) {
    match memory::bounded(bytes.len(), || T::decode(bytes)) {
        Ok(value) => {
            assert_eq!(value.encode(), bytes, "a {} has a second encoding", T::NAME);
            assert!(bytes.len() <= T::MAX_BYTES, "a {} is larger than its limit", T::NAME);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn check_body(kind: Kind, bytes: &[u8]) {
    match memory::bounded(bytes.len(), || ProposalBody::decode(kind, bytes)) {
        Ok(body) => {
            assert_eq!(body.kind(), kind);
            assert_eq!(body.encode(), bytes, "a body of {kind} has a second encoding");
            assert_eq!(body.check(), Ok(()), "decoding has checked it");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn tagged(choice: usize, encoding: Vec<u8>) -> Vec<u8> {
    [vec![u8::try_from(choice).unwrap()], encoding].concat()
}

/// The golden values.
pub fn seeds() -> Vec<Vec<u8>> {
    let header = samples::header();
    let encodings = [
        samples::commit().content.encode(),
        samples::prepare().encode(),
        samples::certificate(&header).encode(),
        samples::proposal(samples::bodies().remove(0).1).encode(),
        samples::batch().encode(),
        samples::batch().reference().encode(),
        header.encode(),
        samples::committed_block().encode(),
        samples::validators().encode(),
        samples::genesis().encode(),
    ];
    let mut seeds: Vec<Vec<u8>> =
        encodings.into_iter().enumerate().map(|(choice, encoding)| tagged(choice, encoding)).collect();
    seeds.push(tagged(6, samples::handover_header().encode()));
    seeds.push(tagged(7, samples::empty_block().encode()));
    seeds.extend(report_seeds());
    let handover = samples::handover();
    let proofs = [
        samples::sampled_votes().remove(0).encode(),
        samples::kv_record().encode(),
        samples::state_proof().encode(),
        handover.block.encode(),
        handover.encode(),
    ];
    seeds.extend((LATER + 3..).zip(proofs).map(|(choice, encoding)| tagged(choice, encoding)));
    for (_, body) in samples::bodies() {
        let kind = Kind::ALL.into_iter().position(|kind| kind == body.kind()).unwrap();
        seeds.push(tagged(TYPES.len() + kind, body.encode()));
    }
    seeds
}

/// Reports of a member and of an observer, and two that contradict each other.
fn report_seeds() -> Vec<Vec<u8>> {
    let key = aegis_types::Keypair::from_seed(&[5; 32]);
    let domain = samples::genesis().domain();
    let report = |sequence: u64, rows: usize| Report {
        epoch: aegis_types::Epoch(3),
        sequence,
        reporter: key.validator_id(),
        height: aegis_types::Height(77),
        rtt_us: vec![12_345; rows],
        votes_in_time: vec![9_999; rows],
        channels: (0..8)
            .map(|channel| {
                (channel, ChannelSummary { octiles: [-3, -2, -1, 0, 1, 2, 3], histogram: Some([75; 8]) })
            })
            .collect(),
        values: ReportedValues {
            phi: Some(Micro::new(7)),
            samples: 600,
            channels: 0xff,
            ..ReportedValues::default()
        },
        covered_weight: aegis_types::Weight(4),
    };
    let signed = |sequence, rows| report(sequence, rows).sign(&key, &domain);
    let evidence = ReportEvidence::new(signed(1, 4), signed(1, 5)).expect("they differ");
    [
        (0, report(1, 4).encode()),
        (0, report(2, 0).encode()),
        (1, signed(1, 4).encode()),
        (2, evidence.encode()),
    ]
    .map(|(choice, encoding)| tagged(LATER + choice, encoding))
    .to_vec()
}
