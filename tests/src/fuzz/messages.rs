//! Consensus messages, which peers send, and journal records, which a disk may have changed.

use aegis_consensus::{Message, NewView, PrePrepare, PreparedBlock, Record, Status, ViewChange};
use aegis_types::{Certificate, Epoch, Header, Height, Signature, View, VoteContent, VoteKind};

use super::{memory, samples};

/// A message that decodes is read back from its own encoding; its signed parts are judged without a panic.
///
/// # Panics
/// When that does not hold, or the decoder takes too much memory.
pub fn run_message(bytes: &[u8]) {
    let message = match memory::bounded(bytes.len(), || Message::decode(bytes)) {
        Ok(message) => message,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert_eq!(Message::decode(&message.encode()).as_ref(), Ok(&message));
    let _ = message.epoch();
    let (set, domain) = (samples::validators(), samples::domain());
    match &message {
        Message::PrePrepare(message) => _ = message.is_consistent(),
        Message::Vote(vote) => _ = vote.verify(&domain),
        Message::ViewChange(message) => {
            let _ = (message.is_overlong(16), message.verify_signature(&domain));
            let _ = message.verify_content(Height::ZERO, 16, &set, &domain);
        }
        Message::NewView(message) => _ = message.verify(Height::ZERO, 16, &set, &domain),
        Message::Status(_) | Message::Testimony(_) => {}
    }
}

/// A record that decodes is read back from its own encoding.
///
/// # Panics
/// When that does not hold.
pub fn run_record(bytes: &[u8]) {
    match memory::bounded(bytes.len(), || Record::decode(bytes)) {
        Ok(record) => {
            assert_eq!(Record::decode(&record.encode()).as_ref(), Ok(&record));
            let _ = record.epoch();
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn prepared(header: &Header) -> PreparedBlock {
    let certificate = samples::certificate(header);
    let content = VoteContent { kind: VoteKind::Prepare, ..certificate.content };
    PreparedBlock { header: header.clone(), certificate: Certificate { content, ..certificate } }
}

fn view_change() -> ViewChange {
    let tip = samples::first_header();
    let tip = PreparedBlock { certificate: samples::certificate(&tip), header: tip };
    ViewChange {
        epoch: Epoch(0),
        view: View(5),
        tip_height: Height(1),
        prepared: vec![prepared(&samples::header())],
        tip: Some(tip),
        validator: samples::keypair(4).validator_id(),
        signature: Signature([0; 64]),
    }
    .signed(&samples::keypair(4), &samples::domain())
}

fn new_view() -> NewView {
    let plain = ViewChange { tip: None, prepared: Vec::new(), tip_height: Height::ZERO, ..view_change() };
    let signed = |n| plain.clone().signed(&samples::keypair(n), &samples::domain());
    NewView {
        epoch: Epoch(0),
        view: View(5),
        view_changes: [4, 5, 6].map(signed).to_vec(),
        leader: plain.validator,
        signature: Signature([0; 64]),
    }
    .signed(&samples::keypair(4), &samples::domain())
}

/// A message of each kind.
pub fn message_seeds() -> Vec<Vec<u8>> {
    let messages = [
        Message::PrePrepare(PrePrepare { header: samples::header(), vote: samples::prepare() }),
        Message::Vote(samples::commit()),
        Message::ViewChange(view_change()),
        Message::NewView(new_view()),
        Message::Status(Status { epoch: Epoch(1), view: View(300), height: Height(u64::MAX) }),
    ];
    messages.iter().map(Message::encode).collect()
}

/// A record of each kind.
pub fn record_seeds() -> Vec<Vec<u8>> {
    let PreparedBlock { header, certificate } = prepared(&samples::header());
    let records = [
        Record::Prepared { header: samples::header(), vote: samples::prepare() },
        Record::Committing { header, certificate, vote: samples::commit() },
        Record::ViewChange(view_change()),
        Record::NewView(new_view()),
    ];
    records.iter().map(Record::encode).collect()
}
