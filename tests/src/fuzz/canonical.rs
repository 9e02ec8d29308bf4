//! The canonical decoders of `aegis_types`. The first byte chooses the type, the others are its encoding.

use std::fmt::Debug;

use aegis_types::{
    Batch, BatchRef, Canonical, Certificate, CommittedBlock, Genesis, Header, Kind, Proposal, ProposalBody,
    ValidatorSet, Vote, VoteContent,
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

/// Whatever decodes is the encoding of what it decodes to.
///
/// # Panics
/// When that does not hold, or a decoder takes too much memory.
pub fn run(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else { return };
    let choice = usize::from(*choice);
    match TYPES.get(choice) {
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
    for (_, body) in samples::bodies() {
        let kind = Kind::ALL.into_iter().position(|kind| kind == body.kind()).unwrap();
        seeds.push(tagged(TYPES.len() + kind, body.encode()));
    }
    seeds
}
