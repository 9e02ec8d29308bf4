//! What nodes say to each other besides consensus. The first byte chooses between frame, question and answer.
//!
//! The node is a program and no library, so its source file is compiled in here.

use aegis_types::{Epoch, Hash, Height};
use bytes::Bytes;

use super::memory;

#[allow(dead_code, reason = "the node uses all of it")]
#[path = "../../../node/src/node/wire.rs"]
mod wire;

#[allow(dead_code, reason = "the node uses all of it")]
#[path = "../../../node/src/node/snapshot"]
mod snapshot {
    pub mod chunk;
    pub mod manifest;
    pub mod question;
}

use snapshot::question::{SnapshotAnswer, SnapshotQuestion};
use wire::{Answer, DIGESTS_MAX, PayloadFrame, Question};

/// What decodes is read back from its own encoding, and its lists are within their bounds.
///
/// # Panics
/// When that does not hold, or a decoder takes too much memory.
pub fn run(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else { return };
    let bytes = Bytes::copy_from_slice(bytes);
    let size = bytes.len();
    match choice % 3 {
        0 => {
            if let Ok(frame) = memory::bounded(size, || PayloadFrame::decode(bytes)) {
                assert_eq!(PayloadFrame::decode(frame.encode()).as_ref(), Ok(&frame));
                if let PayloadFrame::Announce(digests) = frame {
                    assert!(digests.len() <= DIGESTS_MAX);
                }
            }
        }
        1 => {
            if let Ok(question) = memory::bounded(size, || Question::decode(bytes)) {
                assert_eq!(Question::decode(question.encode()).as_ref(), Ok(&question));
                if let Question::Batches(digests) = question {
                    assert!(digests.len() <= DIGESTS_MAX);
                }
            }
        }
        _ => {
            if let Ok(answer) = memory::bounded(size, || Answer::decode(bytes)) {
                assert_eq!(Answer::decode(answer.encode()).as_ref(), Ok(&answer));
            }
        }
    }
}

/// A value of each kind, and lists that a decoder would make much room for.
pub fn seeds() -> Vec<Vec<u8>> {
    let (digests, item) = (vec![Hash([1; 32]), Hash([2; 32])], Bytes::from_static(b"item"));
    let frames = [PayloadFrame::Batch(item.clone()), PayloadFrame::Announce(digests.clone())];
    let questions = [
        Question::Tip,
        Question::Blocks { first: Height(3), last: Height(u64::MAX) },
        Question::Batches(digests),
        Question::Forward(item.clone()),
        Question::Snapshot(SnapshotQuestion::Offers),
        Question::ReadIndex,
    ];
    let answers = [
        Answer::Tip { epoch: Epoch(2), height: Height(300) },
        Answer::Blocks(vec![item.clone(), Bytes::new()]),
        Answer::Batches(vec![item]),
        Answer::Blocks(vec![Bytes::new(); 2_000]),
        Answer::Forwarded(None),
        Answer::Forwarded(Some("refused".into())),
        Answer::Snapshot(SnapshotAnswer::Part(None)),
        Answer::ReadIndex(Height(7)),
    ];
    let tagged = |tag: u8, encoding: Bytes| [&[tag], &encoding[..]].concat();
    let frames = frames.iter().map(|frame| tagged(0, frame.encode()));
    let questions = questions.iter().map(|question| tagged(1, question.encode()));
    let answers = answers.iter().map(|answer| tagged(2, answer.encode()));
    frames.chain(questions).chain(answers).collect()
}
