//! The canonical encoding of reports. Everything is decoded as if a peer had forged it.

use std::collections::BTreeMap;

use aegis_types::{Canonical, Epoch, Height, Limits, Signature, TypesError, ValidatorId, Weight};

use crate::matrix::MISSING_RTT_US;
use crate::micro::Micro;
use crate::proto;
use crate::reports::report::{CHANNELS, ChannelSummary, Report, ReportedValues, SAMPLES_MAX, SignedReport};

/// The whole, in ten-thousandths.
const ALL_VOTES: u32 = 10_000;

impl Canonical for Report {
    type Proto = proto::Report;
    const NAME: &'static str = "report";
    /// Four bytes per round-trip time, two per share of votes, under a hundred per channel, and some hundred besides.
    /// So few bytes cannot decode to much, whatever they are.
    const MAX_BYTES: usize = 256 + 6 * Limits::VALIDATORS + 96 * CHANNELS;

    fn to_proto(&self) -> Self::Proto {
        let channels = self.channels.iter().map(|(channel, summary)| proto::ChannelSummary {
            channel: u32::from(*channel),
            octiles: summary.octiles.to_vec(),
            histogram: summary.histogram.into_iter().flatten().map(u32::from).collect(),
        });
        proto::Report {
            epoch: self.epoch.0,
            sequence: self.sequence,
            reporter: self.reporter.0.to_vec(),
            height: self.height.0,
            rtt_us: self.rtt_us.clone(),
            votes_in_time: self.votes_in_time.iter().copied().map(u32::from).collect(),
            channels: channels.collect(),
            values: Some(values_to_proto(&self.values)),
            covered_weight: self.covered_weight.0,
        }
    }

    fn from_proto(proto: Self::Proto) -> Result<Self, TypesError> {
        let votes_in_time = bounded("votes in time", proto.votes_in_time)?.into_iter().map(|votes| {
            match u16::try_from(votes) {
                Ok(votes) if u32::from(votes) <= ALL_VOTES => Ok(votes),
                _ => Err(TypesError::invalid("votes in time", format!("{votes} is more than {ALL_VOTES}"))),
            }
        });
        let values = values_from_proto(&proto.values.ok_or_else(|| missing("values"))?)?;
        Ok(Self {
            epoch: Epoch(proto.epoch),
            sequence: proto.sequence,
            reporter: ValidatorId::from_slice(&proto.reporter)?,
            height: Height(proto.height),
            rtt_us: checked_rtt(proto.rtt_us)?,
            votes_in_time: votes_in_time.collect::<Result<_, _>>()?,
            channels: channels_from_proto(proto.channels, values.samples)?,
            values,
            covered_weight: Weight(proto.covered_weight),
        })
    }
}

impl Canonical for SignedReport {
    type Proto = proto::SignedReport;
    const NAME: &'static str = "signed report";
    const MAX_BYTES: usize = Report::MAX_BYTES + 80;

    fn to_proto(&self) -> Self::Proto {
        proto::SignedReport { content: Some(self.report.to_proto()), signature: self.signature.0.to_vec() }
    }

    fn from_proto(proto: Self::Proto) -> Result<Self, TypesError> {
        Ok(Self {
            report: Report::from_proto(proto.content.ok_or_else(|| missing("report content"))?)?,
            signature: Signature::from_slice(&proto.signature)?,
        })
    }
}

pub(crate) fn missing(field: &'static str) -> TypesError {
    TypesError::invalid(field, "it is missing")
}

/// A share that may be missing.
pub(crate) fn share(field: &'static str, millionths: Option<u32>) -> Result<Option<Micro>, TypesError> {
    millionths
        .map(|number| {
            Micro::checked(number).ok_or_else(|| {
                TypesError::invalid(field, format!("{number} is more than {}", Micro::ONE.get()))
            })
        })
        .transpose()
}

pub(crate) fn shares_to_proto(share: Option<Micro>) -> Option<u32> {
    share.map(Micro::get)
}

/// Round-trip times to at most as many members as a set can have, each at most that for none.
pub(crate) fn checked_rtt(rtt_us: Vec<u32>) -> Result<Vec<u32>, TypesError> {
    let rtt_us = bounded("round-trip times", rtt_us)?;
    match rtt_us.iter().find(|rtt| **rtt > MISSING_RTT_US) {
        Some(rtt) => {
            Err(TypesError::invalid("round-trip time", format!("{rtt} is more than {MISSING_RTT_US}")))
        }
        None => Ok(rtt_us),
    }
}

fn bounded<T>(what: &'static str, list: Vec<T>) -> Result<Vec<T>, TypesError> {
    let (actual, limit) = (list.len(), Limits::VALIDATORS);
    if actual > limit { Err(TypesError::TooMany { what, actual, limit }) } else { Ok(list) }
}

fn small(field: &'static str, number: u32, limit: usize) -> Result<u8, TypesError> {
    match u8::try_from(number) {
        Ok(small) if usize::from(small) < limit => Ok(small),
        _ => Err(TypesError::invalid(field, format!("{number} is not below {limit}"))),
    }
}

fn channels_from_proto(
    proto: Vec<proto::ChannelSummary>,
    samples: u16,
) -> Result<BTreeMap<u8, ChannelSummary>, TypesError> {
    let mut channels = BTreeMap::new();
    for entry in proto {
        let channel = small("channel", entry.channel, CHANNELS)?;
        if channels.last_key_value().is_some_and(|(last, _)| *last >= channel) {
            return Err(TypesError::invalid("channels", "they are not in order, or one appears twice"));
        }
        let octiles: [i32; 7] = entry.octiles.try_into().map_err(|octiles: Vec<i32>| {
            TypesError::invalid("octiles", format!("7 are needed, not {}", octiles.len()))
        })?;
        if !octiles.is_sorted() {
            return Err(TypesError::invalid("octiles", "they fall"));
        }
        let histogram = histogram_from_proto(entry.histogram, samples)?;
        channels.insert(channel, ChannelSummary { octiles, histogram });
    }
    Ok(channels)
}

/// Counts of at most as many samples as the window has, or one liar would outweigh all others where counts are added up.
fn histogram_from_proto(counts: Vec<u32>, samples: u16) -> Result<Option<[u16; 8]>, TypesError> {
    let refuse = |reason: String| Err(TypesError::invalid("histogram", reason));
    let total = counts.iter().fold(0_u32, |sum, count| sum.saturating_add(*count));
    if total > u32::from(samples) {
        return refuse(format!("it counts {total} samples of {samples}"));
    }
    let counts: Vec<u16> = counts.into_iter().filter_map(|count| u16::try_from(count).ok()).collect();
    match (counts.len(), counts.try_into()) {
        (0, _) => Ok(None),
        (_, Ok(counts)) => Ok(Some(counts)),
        (length, Err(_)) => refuse(format!("8 counts are needed, not {length}")),
    }
}

fn values_to_proto(values: &ReportedValues) -> proto::ReportedValues {
    proto::ReportedValues {
        phi: shares_to_proto(values.phi),
        stability: shares_to_proto(values.stability),
        divergence: shares_to_proto(values.divergence),
        leading_channel: values.leading_channel.map(u32::from),
        commit_latency_us: values.commit_latency_us,
        p_value: shares_to_proto(values.p_value),
        shrinkage: shares_to_proto(values.shrinkage),
        cut: values.cut.map(u32::from),
        samples: u32::from(values.samples),
        channels: u32::from(values.channels),
    }
}

fn values_from_proto(proto: &proto::ReportedValues) -> Result<ReportedValues, TypesError> {
    /// Masks have one bit per channel.
    const MASKS: usize = 1 << CHANNELS;
    Ok(ReportedValues {
        phi: share("phi", proto.phi)?,
        stability: share("stability", proto.stability)?,
        divergence: share("divergence", proto.divergence)?,
        leading_channel: proto
            .leading_channel
            .map(|channel| small("leading channel", channel, CHANNELS))
            .transpose()?,
        commit_latency_us: proto.commit_latency_us,
        p_value: share("p-value", proto.p_value)?,
        shrinkage: share("shrinkage", proto.shrinkage)?,
        cut: proto.cut.map(|cut| small("cut", cut, MASKS)).transpose()?,
        samples: u16::try_from(proto.samples)
            .ok()
            .filter(|samples| *samples <= SAMPLES_MAX)
            .ok_or_else(|| TypesError::invalid("samples", format!("more than {SAMPLES_MAX}")))?,
        channels: small("channel mask", proto.channels, MASKS)?,
    })
}
