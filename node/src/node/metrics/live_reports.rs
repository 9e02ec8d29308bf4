//! The newest reports of other nodes.
//!
//! # Bounds
//! Of each member of the epoch the last few reports, of observers a sample. A member is listened to once a second at most, an
//! observer every ten seconds, and its report has no distributions and a few bytes only: what
//! a thousand of them cost is known, whatever they do. What is older than what is held, or of another epoch, is not looked at: signatures are checked for nothing else.
//! A report whose signature is wrong changes nothing here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aegis_metrics::reports::{REPORT_EXPIRY_SECONDS, ReportContext};
use aegis_metrics::{MetricsError, ReportEvidence, SignedReport};
use aegis_types::{Canonical, Epoch, Hash, Height, ValidatorId, ValidatorSet, Weight};

use super::observer_sample::{
    Kept, OBSERVER_EXPIRY_SECONDS, OBSERVER_INTERVAL_US, OBSERVER_REPORT_BYTES, ObserverSample,
};

/// Reports of each member that are held, so that a second one of the same number is noticed also when it comes late.
const REPORTS_PER_MEMBER: usize = 4;
/// Least time between two reports of one member. They are made every three seconds; gossip may bunch them a little.
const REPORT_INTERVAL_US: u64 = 1_000_000;
const SECOND_US: u64 = 1_000_000;

/// The newest reports.
#[derive(Debug)]
pub struct LiveReports {
    me: ValidatorId,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    epoch: Epoch,
    /// The epoch's members; empty before the first look.
    ids: Vec<ValidatorId>,
    members: BTreeMap<ValidatorId, VecDeque<Kept>>,
    observers: ObserverSample,
    contradicted: BTreeSet<ValidatorId>,
}

/// What a report is judged against.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// The members of the current epoch.
    pub set: &'a ValidatorSet,
    /// This node's height.
    pub height: Height,
    /// The digest of the block that the epoch began with.
    pub beacon: Hash,
    /// Now, in microseconds of this node's clock.
    pub now_us: u64,
}

/// What is to be done about a report, before its signature is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Worth {
    /// It is new: check the signature and keep it.
    New,
    /// It contradicts one that is held: check the signature, and report this.
    Contradiction(Box<SignedReport>),
    /// It says nothing new, or not now; nobody is to blame.
    Nothing,
    /// No correct node makes such a report.
    Malformed,
}

impl LiveReports {
    /// No reports yet.
    pub fn new(me: ValidatorId, epoch: Epoch, beacon: Hash) -> Self {
        let held = Held {
            epoch,
            ids: Vec::new(),
            members: BTreeMap::new(),
            observers: ObserverSample::new(beacon),
            contradicted: BTreeSet::new(),
        };
        Self { me, held: Mutex::new(held) }
    }

    fn held(&self, setting: Setting<'_>) -> MutexGuard<'_, Held> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.epoch != setting.set.epoch() {
            held.epoch = setting.set.epoch();
            held.contradicted.clear();
            held.observers = ObserverSample::new(setting.beacon);
            // Their values stay until they expire, so that views do not blink at the end of an epoch.
            held.members.retain(|member, _| setting.set.contains(member));
        }
        let is_current =
            |held: &Held| held.ids.iter().eq(setting.set.members().iter().map(|member| &member.validator));
        if !is_current(&held) {
            held.ids = setting.set.members().iter().map(|member| member.validator).collect();
            held.members.values_mut().flatten().for_each(|kept| kept.has_current_rows = false);
        }
        held
    }

    /// Judges a report that came by gossip by all but its signature.
    pub fn judge(&self, signed: &SignedReport, setting: Setting<'_>) -> Worth {
        let report = &signed.report;
        let held = self.held(setting);
        if report.reporter == self.me || report.epoch != setting.set.epoch() {
            return Worth::Nothing;
        }
        let is_member = setting.set.contains(&report.reporter);
        if !is_member && !held.observers.draws(&report.reporter) {
            return Worth::Nothing;
        }
        let newest = held.newest(&report.reporter);
        // Numbers rise across epochs, so the one held may be of the epoch before.
        let previous_sequence = newest.map(|kept| kept.signed.report.sequence);
        let context = ReportContext { set: setting.set, height: setting.height, previous_sequence };
        let interval = if is_member { REPORT_INTERVAL_US } else { OBSERVER_INTERVAL_US };
        let is_soon = newest.is_some_and(|kept| setting.now_us.saturating_sub(kept.at_us) < interval);
        match report.check(context) {
            Ok(()) if !is_member && !is_small(signed) => Worth::Malformed,
            Ok(()) if is_soon => Worth::Nothing,
            Ok(()) => Worth::New,
            Err(MetricsError::OldSequence { .. }) if is_member => held.contradiction(signed),
            Err(MetricsError::OldSequence { .. } | MetricsError::StaleHeight { .. }) => Worth::Nothing,
            Err(_) => Worth::Malformed,
        }
    }

    /// Keeps a report whose signature is right, or this node's own.
    pub fn keep(&self, signed: SignedReport, setting: Setting<'_>) {
        let mut held = self.held(setting);
        let reporter = signed.report.reporter;
        let is_newer =
            held.newest(&reporter).is_none_or(|kept| kept.signed.report.sequence < signed.report.sequence);
        if signed.report.epoch != setting.set.epoch() || !is_newer {
            return;
        }
        if !setting.set.contains(&reporter) {
            held.observers.keep(signed, setting.now_us);
            return;
        }
        let reports = held.members.entry(reporter).or_default();
        if reports.len() >= REPORTS_PER_MEMBER {
            reports.pop_front();
        }
        reports.push_back(Kept { signed, at_us: setting.now_us, has_current_rows: true });
    }

    /// Pairs two reports as evidence; none when the reporter is accused already in this epoch.
    pub fn accuse(
        &self,
        held: SignedReport,
        other: SignedReport,
        setting: Setting<'_>,
    ) -> Option<ReportEvidence> {
        let evidence = ReportEvidence::new(held, other).ok()?;
        self.held(setting).contradicted.insert(evidence.reporter()).then_some(evidence)
    }

    /// Whether this node, as an observer, is in the sample.
    pub fn is_drawn(&self, setting: Setting<'_>) -> bool {
        self.held(setting).observers.draws(&self.me)
    }

    /// The newest reports of members that are not out of date, with this node's own.
    pub fn members(&self, setting: Setting<'_>) -> BTreeMap<ValidatorId, Kept> {
        let since = setting.now_us.saturating_sub(REPORT_EXPIRY_SECONDS * SECOND_US);
        let held = self.held(setting);
        let newest = |reports: &VecDeque<Kept>| reports.back().filter(|kept| kept.at_us >= since).cloned();
        held.members.iter().filter_map(|(member, reports)| Some((*member, newest(reports)?))).collect()
    }

    /// The sample of the observers that are not out of date.
    pub fn observers(&self, setting: Setting<'_>) -> ObserverSample {
        let mut held = self.held(setting);
        held.observers.expire(setting.now_us.saturating_sub(OBSERVER_EXPIRY_SECONDS * SECOND_US));
        held.observers.clone()
    }

    /// Weight of the members whose reports are held and not out of date.
    pub fn covered_weight(&self, setting: Setting<'_>) -> Weight {
        let members = self.members(setting);
        members.keys().fold(Weight::ZERO, |sum, member| sum.plus(setting.set.weight_of(member)))
    }
}

/// Whether a report is as an observer's must be.
fn is_small(signed: &SignedReport) -> bool {
    signed.report.channels.is_empty() && signed.encode().len() <= OBSERVER_REPORT_BYTES
}

impl Held {
    fn newest(&self, reporter: &ValidatorId) -> Option<&Kept> {
        let of_member = self.members.get(reporter).and_then(VecDeque::back);
        of_member.or_else(|| self.observers.get(reporter))
    }

    fn contradiction(&self, signed: &SignedReport) -> Worth {
        if self.contradicted.contains(&signed.report.reporter) {
            return Worth::Nothing;
        }
        let reports = self.members.get(&signed.report.reporter).into_iter().flatten();
        let other = reports.map(|kept| &kept.signed).find(|kept| {
            (kept.report.epoch, kept.report.sequence) == (signed.report.epoch, signed.report.sequence)
                && kept.report.encode() != signed.report.encode()
        });
        other.map_or(Worth::Nothing, |other| Worth::Contradiction(Box::new(other.clone())))
    }
}

#[cfg(test)]
mod tests {
    use aegis_metrics::reports::{ChannelSummary, ReportedValues};
    use aegis_metrics::{Micro, Report};
    use aegis_types::{Domain, Keypair, Member};

    use super::*;

    const NOW: u64 = 1_000 * SECOND_US;

    fn keys() -> Vec<Keypair> {
        (1..=4).map(|seed| Keypair::from_seed(&[seed; 32])).collect()
    }

    fn set(epoch: u64) -> ValidatorSet {
        let members =
            keys().iter().map(|key| Member { validator: key.validator_id(), weight: Weight(1) }).collect();
        ValidatorSet::new(Epoch(epoch), members).unwrap()
    }

    fn setting(set: &ValidatorSet, now_us: u64) -> Setting<'_> {
        Setting { set, height: Height(10), beacon: Hash([1; 32]), now_us }
    }

    fn report(key: &Keypair, epoch: u64, sequence: u64, covered: u64) -> SignedReport {
        let rows =
            if keys().iter().any(|member| member.validator_id() == key.validator_id()) { 4 } else { 0 };
        let report = Report {
            epoch: Epoch(epoch),
            sequence,
            reporter: key.validator_id(),
            height: Height(9),
            rtt_us: vec![1; rows],
            votes_in_time: vec![1; rows],
            channels: BTreeMap::new(),
            values: Default::default(),
            covered_weight: Weight(covered),
        };
        report.sign(key, &Domain::new("test".parse().unwrap(), Hash::ZERO))
    }

    fn live() -> LiveReports {
        LiveReports::new(keys()[0].validator_id(), Epoch(0), Hash([1; 32]))
    }

    #[test]
    fn numbers_must_rise_and_nobody_is_heard_more_than_once_a_second() {
        let (live, set, keys) = (live(), set(0), keys());
        let now = setting(&set, NOW);
        let first = report(&keys[1], 0, 5, 1);
        assert_eq!(live.judge(&first, now), Worth::New);
        live.keep(first.clone(), now);
        assert_eq!(live.judge(&first, now), Worth::Nothing, "known");
        let next = report(&keys[1], 0, 6, 1);
        assert_eq!(live.judge(&next, now), Worth::Nothing, "too soon");
        let later = setting(&set, NOW + REPORT_INTERVAL_US);
        assert_eq!(live.judge(&next, later), Worth::New);
        assert_eq!(live.judge(&report(&keys[1], 0, 4, 1), later), Worth::Nothing, "older");
        assert_eq!(live.judge(&report(&keys[0], 0, 9, 1), later), Worth::Nothing, "its own");
        assert_eq!(live.judge(&report(&keys[1], 1, 9, 1), later), Worth::Nothing, "another epoch");
    }

    #[test]
    fn rows_that_do_not_fit_are_malformed() {
        let (live, set, keys) = (live(), set(0), keys());
        let mut wrong = report(&keys[1], 0, 5, 1);
        wrong.report.rtt_us.pop();
        assert_eq!(live.judge(&wrong, setting(&set, NOW)), Worth::Malformed);
    }

    #[test]
    fn observers_are_heard_less_often_than_members() {
        let (live, set) = (live(), set(0));
        let stranger = Keypair::from_seed(&[9; 32]);
        live.keep(report(&stranger, 0, 5, 1), setting(&set, NOW));
        let next = report(&stranger, 0, 6, 1);
        let soon = setting(&set, NOW + OBSERVER_INTERVAL_US - 1);
        assert_eq!(live.judge(&next, soon), Worth::Nothing);
        assert_eq!(live.judge(&next, setting(&set, NOW + OBSERVER_INTERVAL_US)), Worth::New);
    }

    #[test]
    fn an_observers_report_is_small_and_has_no_distributions() {
        let (live, set, keys) = (live(), set(0), keys());
        let now = setting(&set, NOW);
        let summary = ChannelSummary { octiles: [1; 7], histogram: Some([2; 8]) };
        let stranger = Keypair::from_seed(&[9; 32]);
        for (key, expected) in [(&stranger, Worth::Malformed), (&keys[1], Worth::New)] {
            let mut full = report(key, 0, 5, 1);
            full.report.channels = (0..8).map(|channel| (channel, summary)).collect();
            assert_eq!(live.judge(&full, now), expected);
        }
        let mut longest = report(&stranger, 0, u64::MAX, u64::MAX);
        longest.report.values = ReportedValues {
            phi: Some(Micro::ONE),
            stability: Some(Micro::ONE),
            divergence: Some(Micro::ONE),
            leading_channel: Some(7),
            commit_latency_us: Some(u32::MAX),
            p_value: Some(Micro::ONE),
            shrinkage: Some(Micro::ONE),
            cut: Some(u8::MAX),
            samples: u16::MAX,
            channels: u8::MAX,
        };
        assert_eq!(live.judge(&longest, now), Worth::New);
        (longest.report.epoch, longest.report.height) = (Epoch(u64::MAX), Height(u64::MAX));
        assert!((OBSERVER_REPORT_BYTES - 8..=OBSERVER_REPORT_BYTES).contains(&longest.encode().len()));
    }

    #[test]
    fn a_second_report_with_a_number_is_evidence_once() {
        let (live, set, keys) = (live(), set(0), keys());
        let now = setting(&set, NOW);
        let (one, other) = (report(&keys[1], 0, 5, 1), report(&keys[1], 0, 5, 2));
        live.keep(one.clone(), now);
        live.keep(report(&keys[1], 0, 6, 1), now);
        assert_eq!(live.judge(&other, now), Worth::Contradiction(Box::new(one.clone())));
        let evidence = live.accuse(one.clone(), other.clone(), now).unwrap();
        assert_eq!(evidence.reporter(), keys[1].validator_id());
        assert!(live.accuse(one, other.clone(), now).is_none());
        assert_eq!(live.judge(&other, now), Worth::Nothing);
    }

    #[test]
    fn reports_expire_and_an_epoch_changes_who_is_held() {
        let (live, first, keys) = (live(), set(0), keys());
        live.keep(report(&keys[1], 0, 5, 1), setting(&first, NOW));
        live.keep(report(&keys[2], 0, 5, 1), setting(&first, NOW));
        let stranger = Keypair::from_seed(&[9; 32]);
        live.keep(report(&stranger, 0, 5, 1), setting(&first, NOW));
        assert_eq!(live.covered_weight(setting(&first, NOW)), Weight(2));
        assert_eq!(live.observers(setting(&first, NOW)).population(), 1);
        let second = set(1);
        assert_eq!(live.members(setting(&second, NOW)).len(), 2);
        assert_eq!(live.observers(setting(&second, NOW)).population(), 0);
        let rows =
            |set| live.members(setting(set, NOW)).values().filter(|kept| kept.has_current_rows).count();
        assert_eq!(rows(&second), 2, "the same members");
        let third = ValidatorSet::new(Epoch(2), set(2).members()[1..].to_vec()).unwrap();
        assert_eq!(rows(&third), 0, "one has left, so positions have moved");
        let late = NOW + REPORT_EXPIRY_SECONDS * SECOND_US + 1;
        assert_eq!(live.covered_weight(setting(&second, late)), Weight(0));
    }

    #[test]
    fn a_flood_of_reports_of_one_member_leaves_a_few() {
        let (live, set, keys) = (live(), set(0), keys());
        for sequence in 0..100 {
            live.keep(report(&keys[1], 0, sequence, 1), setting(&set, NOW));
        }
        let held = live.held(setting(&set, NOW));
        assert_eq!(held.members[&keys[1].validator_id()].len(), REPORTS_PER_MEMBER);
    }
}
