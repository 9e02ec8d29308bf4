//! The encoding of messages and records: protobuf, with the shared structures of `aegis_types::proto` inside.
//!
//! Messages need no canonical form: what is signed is encoded again from the decoded value before a signature is checked.

use aegis_types::entries::{Quota, check_entries};
use aegis_types::{
    Canonical, Certificate, Epoch, Header, Height, Limits, Signature, TypesError, ValidatorId, View, Vote,
    proto,
};
use prost::{Message as _, Oneof};

use crate::error::ConsensusError;
use crate::limits::MESSAGE_BYTES;
use crate::message::{Message, NewView, PrePrepare, PreparedBlock, Status, ViewChange};
use crate::record::Record;

#[derive(Clone, PartialEq, prost::Message)]
struct WirePrePrepare {
    #[prost(message, optional, tag = "1")]
    header: Option<proto::Header>,
    #[prost(message, optional, tag = "2")]
    vote: Option<proto::Vote>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WirePreparedBlock {
    #[prost(message, optional, tag = "1")]
    header: Option<proto::Header>,
    #[prost(message, optional, tag = "2")]
    certificate: Option<proto::Certificate>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireViewChange {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, tag = "2")]
    view: u64,
    #[prost(uint64, tag = "3")]
    tip_height: u64,
    #[prost(message, optional, tag = "4")]
    tip: Option<WirePreparedBlock>,
    #[prost(message, repeated, tag = "5")]
    prepared: Vec<WirePreparedBlock>,
    #[prost(bytes = "vec", tag = "6")]
    validator: Vec<u8>,
    #[prost(bytes = "vec", tag = "7")]
    signature: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireNewView {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, tag = "2")]
    view: u64,
    #[prost(message, repeated, tag = "3")]
    view_changes: Vec<WireViewChange>,
    #[prost(bytes = "vec", tag = "4")]
    leader: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    signature: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct WireStatus {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(uint64, tag = "2")]
    view: u64,
    #[prost(uint64, tag = "3")]
    height: u64,
}

#[derive(Clone, PartialEq, Oneof)]
enum WireMessageKind {
    #[prost(message, tag = "1")]
    PrePrepare(WirePrePrepare),
    #[prost(message, tag = "2")]
    Vote(proto::Vote),
    #[prost(message, tag = "3")]
    ViewChange(WireViewChange),
    #[prost(message, tag = "4")]
    NewView(WireNewView),
    #[prost(message, tag = "5")]
    Status(WireStatus),
    #[prost(message, tag = "6")]
    Testimony(proto::Vote),
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireMessage {
    #[prost(oneof = "WireMessageKind", tags = "1, 2, 3, 4, 5, 6")]
    kind: Option<WireMessageKind>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireCommitting {
    #[prost(message, optional, tag = "1")]
    block: Option<WirePreparedBlock>,
    #[prost(message, optional, tag = "2")]
    vote: Option<proto::Vote>,
}

#[derive(Clone, PartialEq, Oneof)]
enum WireRecordKind {
    #[prost(message, tag = "1")]
    Prepared(WirePrePrepare),
    #[prost(message, tag = "2")]
    Committing(WireCommitting),
    #[prost(message, tag = "3")]
    ViewChange(WireViewChange),
    #[prost(message, tag = "4")]
    NewView(WireNewView),
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireRecord {
    #[prost(oneof = "WireRecordKind", tags = "1, 2, 3, 4")]
    kind: Option<WireRecordKind>,
}

fn missing(field: &'static str) -> TypesError {
    TypesError::invalid(field, "it is missing")
}

impl From<&PrePrepare> for WirePrePrepare {
    fn from(message: &PrePrepare) -> Self {
        Self { header: Some(message.header.to_proto()), vote: Some(message.vote.to_proto()) }
    }
}

impl TryFrom<WirePrePrepare> for PrePrepare {
    type Error = TypesError;

    fn try_from(wire: WirePrePrepare) -> Result<Self, TypesError> {
        Ok(Self {
            header: Header::from_proto(wire.header.ok_or_else(|| missing("header"))?)?,
            vote: Vote::from_proto(wire.vote.ok_or_else(|| missing("vote"))?)?,
        })
    }
}

impl From<&PreparedBlock> for WirePreparedBlock {
    fn from(block: &PreparedBlock) -> Self {
        Self { header: Some(block.header.to_proto()), certificate: Some(block.certificate.to_proto()) }
    }
}

impl TryFrom<WirePreparedBlock> for PreparedBlock {
    type Error = TypesError;

    fn try_from(wire: WirePreparedBlock) -> Result<Self, TypesError> {
        Ok(Self {
            header: Header::from_proto(wire.header.ok_or_else(|| missing("header"))?)?,
            certificate: Certificate::from_proto(wire.certificate.ok_or_else(|| missing("certificate"))?)?,
        })
    }
}

impl From<&ViewChange> for WireViewChange {
    fn from(message: &ViewChange) -> Self {
        Self {
            epoch: message.epoch.0,
            view: message.view.0,
            tip_height: message.tip_height.0,
            tip: message.tip.as_ref().map(WirePreparedBlock::from),
            prepared: message.prepared.iter().map(WirePreparedBlock::from).collect(),
            validator: message.validator.0.to_vec(),
            signature: message.signature.0.to_vec(),
        }
    }
}

impl TryFrom<WireViewChange> for ViewChange {
    type Error = TypesError;

    fn try_from(wire: WireViewChange) -> Result<Self, TypesError> {
        Ok(Self {
            epoch: Epoch(wire.epoch),
            view: View(wire.view),
            tip_height: Height(wire.tip_height),
            tip: wire.tip.map(PreparedBlock::try_from).transpose()?,
            prepared: wire.prepared.into_iter().map(PreparedBlock::try_from).collect::<Result<_, _>>()?,
            validator: ValidatorId::from_slice(&wire.validator)?,
            signature: Signature::from_slice(&wire.signature)?,
        })
    }
}

impl From<&NewView> for WireNewView {
    fn from(message: &NewView) -> Self {
        Self {
            epoch: message.epoch.0,
            view: message.view.0,
            view_changes: message.view_changes.iter().map(WireViewChange::from).collect(),
            leader: message.leader.0.to_vec(),
            signature: message.signature.0.to_vec(),
        }
    }
}

impl TryFrom<WireNewView> for NewView {
    type Error = TypesError;

    fn try_from(wire: WireNewView) -> Result<Self, TypesError> {
        Ok(Self {
            epoch: Epoch(wire.epoch),
            view: View(wire.view),
            view_changes: wire
                .view_changes
                .into_iter()
                .map(ViewChange::try_from)
                .collect::<Result<_, _>>()?,
            leader: ValidatorId::from_slice(&wire.leader)?,
            signature: Signature::from_slice(&wire.signature)?,
        })
    }
}

/// What the signature of a view change covers.
pub(crate) fn view_change_content(message: &ViewChange) -> Vec<u8> {
    WireViewChange { signature: Vec::new(), ..message.into() }.encode_to_vec()
}

/// What the signature of a new view covers.
pub(crate) fn new_view_content(message: &NewView) -> Vec<u8> {
    WireNewView { signature: Vec::new(), ..message.into() }.encode_to_vec()
}

pub(crate) fn encode_message(message: &Message) -> Vec<u8> {
    let kind = match message {
        Message::PrePrepare(message) => WireMessageKind::PrePrepare(message.into()),
        Message::Vote(vote) => WireMessageKind::Vote(vote.to_proto()),
        Message::ViewChange(message) => WireMessageKind::ViewChange(message.into()),
        Message::NewView(message) => WireMessageKind::NewView(message.into()),
        Message::Status(status) => WireMessageKind::Status(WireStatus {
            epoch: status.epoch.0,
            view: status.view.0,
            height: status.height.0,
        }),
        Message::Testimony(vote) => WireMessageKind::Testimony(vote.to_proto()),
    };
    WireMessage { kind: Some(kind) }.encode_to_vec()
}

pub(crate) fn decode_message(bytes: &[u8]) -> Result<Message, ConsensusError> {
    let wire: WireMessage = decode("consensus message", bytes, check_message)?;
    Ok(match wire.kind.ok_or_else(|| missing("consensus message kind"))? {
        WireMessageKind::PrePrepare(message) => Message::PrePrepare(message.try_into()?),
        WireMessageKind::Vote(vote) => Message::Vote(Vote::from_proto(vote)?),
        WireMessageKind::ViewChange(message) => Message::ViewChange(message.try_into()?),
        WireMessageKind::NewView(message) => Message::NewView(message.try_into()?),
        WireMessageKind::Status(status) => Message::Status(Status {
            epoch: Epoch(status.epoch),
            view: View(status.view),
            height: Height(status.height),
        }),
        WireMessageKind::Testimony(vote) => Message::Testimony(Vote::from_proto(vote)?),
    })
}

pub(crate) fn encode_record(record: &Record) -> Vec<u8> {
    let kind = match record {
        Record::Prepared { header, vote } => WireRecordKind::Prepared(WirePrePrepare {
            header: Some(header.to_proto()),
            vote: Some(vote.to_proto()),
        }),
        Record::Committing { header, certificate, vote } => WireRecordKind::Committing(WireCommitting {
            block: Some(WirePreparedBlock {
                header: Some(header.to_proto()),
                certificate: Some(certificate.to_proto()),
            }),
            vote: Some(vote.to_proto()),
        }),
        Record::ViewChange(message) => WireRecordKind::ViewChange(message.into()),
        Record::NewView(message) => WireRecordKind::NewView(message.into()),
    };
    WireRecord { kind: Some(kind) }.encode_to_vec()
}

pub(crate) fn decode_record(bytes: &[u8]) -> Result<Record, ConsensusError> {
    // The journal's content is this node's own.
    let wire: WireRecord = decode("journal record", bytes, |_| Ok(()))?;
    Ok(match wire.kind.ok_or_else(|| missing("journal record kind"))? {
        WireRecordKind::Prepared(wire) => {
            let PrePrepare { header, vote } = wire.try_into()?;
            Record::Prepared { header, vote }
        }
        WireRecordKind::Committing(wire) => {
            let PreparedBlock { header, certificate } =
                wire.block.ok_or_else(|| missing("prepared block"))?.try_into()?;
            let vote = Vote::from_proto(wire.vote.ok_or_else(|| missing("vote"))?)?;
            Record::Committing { header, certificate, vote }
        }
        WireRecordKind::ViewChange(wire) => Record::ViewChange(wire.try_into()?),
        WireRecordKind::NewView(wire) => Record::NewView(wire.try_into()?),
    })
}

/// Reads a message whose lists `check` has counted: what is left to the decoder takes no more memory than it should.
fn decode<M: prost::Message + Default>(
    what: &'static str,
    bytes: &[u8],
    check: fn(&[u8]) -> Result<(), TypesError>,
) -> Result<M, TypesError> {
    if bytes.len() > MESSAGE_BYTES {
        return Err(TypesError::TooLarge { what, actual: bytes.len(), limit: MESSAGE_BYTES });
    }
    check(bytes)?;
    M::decode(bytes).map_err(|error| TypesError::Undecodable { what, reason: error.to_string() })
}

/// Prepared blocks of a view change: `VIEW_CHANGE_WINDOWS` of the largest window that the parameters allow, 32.
const PREPARED_BLOCKS: usize = 128;

fn check_message(bytes: &[u8]) -> Result<(), TypesError> {
    let quotas = [
        Quota::one(1, "pre-prepare", MESSAGE_BYTES, check_pre_prepare),
        Quota::one(3, "view change", MESSAGE_BYTES, check_view_change),
        Quota::one(4, "new view", MESSAGE_BYTES, check_new_view),
    ];
    check_entries("consensus message", bytes, quotas)
}

fn check_pre_prepare(bytes: &[u8]) -> Result<(), TypesError> {
    check_entries("pre-prepare", bytes, [Quota::of::<Header>(1, "headers", 1)])
}

fn check_prepared_block(bytes: &[u8]) -> Result<(), TypesError> {
    let quotas = [Quota::of::<Header>(1, "headers", 1), Quota::of::<Certificate>(2, "certificates", 1)];
    check_entries("prepared block", bytes, quotas)
}

fn check_view_change(bytes: &[u8]) -> Result<(), TypesError> {
    let block = |field, name| Quota::one(field, name, MESSAGE_BYTES, check_prepared_block);
    check_entries("view change", bytes, [block(4, "tip"), block(5, "prepared blocks").up_to(PREPARED_BLOCKS)])
}

fn check_new_view(bytes: &[u8]) -> Result<(), TypesError> {
    let view_changes = Quota::one(3, "view changes", MESSAGE_BYTES, check_view_change);
    check_entries("new view", bytes, [view_changes.up_to(Limits::VALIDATORS)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of protobuf's length-delimited kind.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2];
        prost::encode_length_delimiter(content.len(), &mut bytes).unwrap();
        bytes.extend_from_slice(content);
        bytes
    }

    #[test]
    fn lists_that_would_fill_memory_are_refused_before_they_are_decoded() {
        let blocks = field(5, &[]).repeat(PREPARED_BLOCKS + 1);
        let changes = field(3, &[]).repeat(Limits::VALIDATORS + 1);
        let nested = field(3, &blocks);
        for message in [field(3, &blocks), field(4, &changes), field(4, &nested), field(3, &[]).repeat(2)] {
            let error = decode_message(&message).unwrap_err().to_string();
            assert!(error.contains("at most"), "{error}");
        }
    }
}
