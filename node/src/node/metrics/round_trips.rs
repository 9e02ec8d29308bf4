//! Round-trip times to the validators, measured on votes.
//!
//! The time of a vote is kept until its receipts come. Each peer has its last samples; what is told of it is their median,
//! so that a pause of either side does not pass for distance.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aegis_metrics::matrix::MISSING_RTT_US;
use aegis_metrics::median::{lower_median, weighted_lower_median};
use aegis_types::{ValidatorId, ValidatorSet};

use super::receipt::Receipt;

/// Own votes whose receipts are waited for: some seconds of a busy network.
const AWAITED_MAX: usize = 256;
/// Samples kept of each peer.
const SAMPLES_MAX: usize = 64;
/// Age at which a sample says nothing any more about the network as it is.
const SAMPLE_AGE_US: u64 = 120_000_000;
/// Least time between two receipts for one peer. Five samples a second are plenty, and in a busy network it saves most
/// of the receipts.
const RECEIPT_INTERVAL_US: u64 = 200_000;

/// An own vote whose receipts are waited for.
#[derive(Debug)]
struct Awaited {
    receipt: Receipt,
    first_sent_us: u64,
    /// Whose receipt has come. A vote that is sent again gets another one, which measures how long nothing was decided and not
    /// how far away the peer is.
    answered: BTreeSet<ValidatorId>,
}

/// Samples of each validator.
#[derive(Debug, Default)]
pub struct RoundTrips {
    awaited: VecDeque<Awaited>,
    samples: BTreeMap<ValidatorId, VecDeque<(u64, u32)>>,
    receipts_sent: BTreeMap<ValidatorId, u64>,
}

impl RoundTrips {
    /// Forgets who is not in the set.
    pub fn retain(&mut self, set: &ValidatorSet) {
        self.samples.retain(|peer, _| set.contains(peer));
        self.receipts_sent.retain(|peer, _| set.contains(peer));
    }

    /// An own vote was sent whose receipts count.
    pub fn sent(&mut self, receipt: Receipt, at_us: u64) {
        // A vote that is sent again keeps its first time: a receipt of the first must not look fast.
        if self.awaited.iter().any(|known| known.receipt == receipt) {
            return;
        }
        if self.awaited.len() >= AWAITED_MAX {
            self.awaited.pop_front();
        }
        self.awaited.push_back(Awaited { receipt, first_sent_us: at_us, answered: BTreeSet::new() });
    }

    /// A member's receipt came. One for a vote that is not known, or any more, says nothing, nor does a second one.
    pub fn answered(&mut self, from: &ValidatorId, receipt: Receipt, at_us: u64) {
        let Some(awaited) = self.awaited.iter_mut().find(|known| known.receipt == receipt) else { return };
        if awaited.answered.insert(*from) {
            let rtt_us = at_us.saturating_sub(awaited.first_sent_us);
            self.sample(from, rtt_us, at_us);
        }
    }

    fn sample(&mut self, peer: &ValidatorId, rtt_us: u64, at_us: u64) {
        // So long was the peer away, or this node.
        let Some(rtt_us) = u32::try_from(rtt_us).ok().filter(|rtt_us| *rtt_us < MISSING_RTT_US) else {
            return;
        };
        let samples = self.samples.entry(*peer).or_default();
        if samples.len() >= SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back((at_us, rtt_us));
    }

    /// Whether a peer is to get a receipt now; then it counts as sent.
    pub fn owes(&mut self, peer: &ValidatorId, at_us: u64) -> bool {
        let last = self.receipts_sent.get(peer).copied();
        let owes = last.is_none_or(|last| at_us.saturating_sub(last) >= RECEIPT_INTERVAL_US);
        if owes {
            self.receipts_sent.insert(*peer, at_us);
        }
        owes
    }

    /// The median of a peer's samples, in microseconds; nothing without recent ones.
    pub fn median(&self, peer: &ValidatorId, now_us: u64) -> Option<u32> {
        let samples = self.samples.get(peer)?.iter();
        lower_median(
            samples.filter(|(at, _)| now_us.saturating_sub(*at) <= SAMPLE_AGE_US).map(|(_, rtt)| *rtt),
        )
    }

    /// A report's row: a time for each member in order, [`MISSING_RTT_US`] for those without one, 0 for oneself.
    pub fn row(&self, set: &ValidatorSet, me: &ValidatorId, now_us: u64) -> Vec<u32> {
        let entry = |validator: &ValidatorId| {
            if validator == me { 0 } else { self.median(validator, now_us).unwrap_or(MISSING_RTT_US) }
        };
        set.members().iter().map(|member| entry(&member.validator)).collect()
    }

    /// The round-trip time to the weighted median of the peers; nothing while there are times of less than half of their
    /// weight.
    pub fn to_quorum(&self, set: &ValidatorSet, me: &ValidatorId, now_us: u64) -> Option<u64> {
        let peers = set.members().iter().filter(|member| member.validator != *me);
        let times = peers
            .map(|member| (self.median(&member.validator, now_us).unwrap_or(MISSING_RTT_US), member.weight));
        weighted_lower_median(times).filter(|rtt| *rtt < MISSING_RTT_US).map(u64::from)
    }

    /// The time in which answers of a quorum come, one's own among them; nothing while too few peers are measured.
    ///
    /// Peers that are slow, or lie about it, fall out of it as long as the others are a quorum.
    pub fn of_quorum(&self, set: &ValidatorSet, me: &ValidatorId, now_us: u64) -> Option<u64> {
        let mut times: Vec<_> = set
            .members()
            .iter()
            .filter(|member| member.validator != *me)
            .filter_map(|member| Some((self.median(&member.validator, now_us)?, member.weight)))
            .collect();
        times.sort_unstable_by_key(|(time, _)| *time);
        let mut weight = set.weight_of(me);
        times.into_iter().find_map(|(time, more)| {
            weight = weight.plus(more);
            (weight >= set.quorum()).then(|| u64::from(time))
        })
    }
}

#[cfg(test)]
mod tests {
    use aegis_types::{Epoch, Keypair, Member, Signature, View, Vote, VoteContent, VoteKind, Weight};

    use super::*;

    fn receipt(byte: u8) -> Receipt {
        let content = VoteContent {
            kind: VoteKind::Prepare,
            epoch: Epoch(0),
            view: View(0),
            height: aegis_types::Height(1),
            digest: aegis_types::Hash::ZERO,
        };
        Receipt::of(&Vote { content, validator: ValidatorId([1; 32]), signature: Signature([byte; 64]) })
    }

    fn set(weights: &[u64]) -> ValidatorSet {
        let members = (1_u8..).zip(weights).map(|(seed, weight)| Member {
            validator: Keypair::from_seed(&[seed; 32]).validator_id(),
            weight: Weight(*weight),
        });
        ValidatorSet::new(Epoch(0), members.collect()).unwrap()
    }

    #[test]
    fn a_receipt_measures_from_the_first_sending_and_unknown_ones_measure_nothing() {
        let (mut trips, peer) = (RoundTrips::default(), ValidatorId([2; 32]));
        trips.sent(receipt(1), 1_000);
        trips.sent(receipt(1), 50_000);
        trips.answered(&peer, receipt(9), 60_000);
        assert_eq!(trips.median(&peer, 60_000), None);
        trips.answered(&peer, receipt(1), 61_000);
        assert_eq!(trips.median(&peer, 61_000), Some(60_000));
        for later in 1..10 {
            trips.answered(&peer, receipt(1), 61_000 + later * 500_000);
        }
        assert_eq!(
            trips.median(&peer, 61_000),
            Some(60_000),
            "what is sent again in a stall measures the stall"
        );
        trips.sent(receipt(2), 61_000);
        trips.answered(&peer, receipt(2), 61_000 + u64::from(MISSING_RTT_US));
        assert_eq!(trips.median(&peer, 61_000), Some(60_000), "so long nobody is under way");
        assert_eq!(trips.median(&peer, 61_000 + SAMPLE_AGE_US + 1), None);
    }

    #[test]
    fn the_row_has_a_place_for_each_member_and_the_median_counts_weight() {
        let set = set(&[1, 1, 1, 1]);
        let ids: Vec<ValidatorId> = set.members().iter().map(|member| member.validator).collect();
        let mut trips = RoundTrips::default();
        trips.sample(&ids[1], 20_000, 10);
        assert_eq!(trips.row(&set, &ids[0], 10), [0, 20_000, MISSING_RTT_US, MISSING_RTT_US]);
        assert_eq!(trips.to_quorum(&set, &ids[0], 10), None);
        trips.sample(&ids[2], 90_000, 10);
        assert_eq!(trips.to_quorum(&set, &ids[0], 10), Some(90_000));
    }

    #[test]
    fn the_time_of_a_quorum_leaves_out_who_is_slower_than_it_needs() {
        let set = set(&[1, 1, 1, 1]);
        let ids: Vec<ValidatorId> = set.members().iter().map(|member| member.validator).collect();
        let mut trips = RoundTrips::default();
        trips.sample(&ids[1], 20_000, 10);
        assert_eq!(trips.of_quorum(&set, &ids[0], 10), None);
        trips.sample(&ids[2], 900_000, 10);
        assert_eq!(trips.of_quorum(&set, &ids[0], 10), Some(900_000));
        trips.sample(&ids[3], 30_000, 10);
        assert_eq!(trips.of_quorum(&set, &ids[0], 10), Some(30_000));
    }

    #[test]
    fn votes_samples_and_receipts_are_bounded() {
        let (mut trips, peer) = (RoundTrips::default(), ValidatorId([2; 32]));
        for at in 0..1_000 {
            trips.sent(receipt(u8::try_from(at % 251).unwrap()), at);
            trips.sample(&peer, at, at);
        }
        assert!(trips.awaited.len() <= AWAITED_MAX);
        assert_eq!(trips.samples[&peer].len(), SAMPLES_MAX);
        assert!(trips.owes(&peer, 1) && !trips.owes(&peer, 2) && trips.owes(&peer, 1 + RECEIPT_INTERVAL_US));
        trips.retain(&set(&[1]));
        assert!(trips.samples.is_empty() && trips.receipts_sent.is_empty());
    }
}
