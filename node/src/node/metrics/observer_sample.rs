//! A random sample of the observers' reports.
//!
//! There is no list of observers, and ten thousand of them cannot all tell everybody everything. Each observer has a ticket,
//! the hash of its key and the block that the epoch began with; nodes keep the reports with the lowest tickets and pass no
//! others on. So everybody holds the same few, they are a uniform sample, and the highest ticket of a full sample says how many
//! observers there are. An observer whose own ticket is not among the lowest stays silent for the epoch.
//!
//! Keys are free: who makes many has many tickets. Nothing but these figures depends on observers, and the bounds that are
//! shown can be widened for a share of liars.

use std::collections::BTreeMap;

use aegis_metrics::SignedReport;
use aegis_metrics::statistics::observers::{population_of, ticket};
use aegis_types::{Hash, ValidatorId};

/// Reports that are kept. The inequality of Dvoretzky, Kiefer and Wolfowitz asks for 738 to know any quantile to 5 % in rank
/// with 95 % confidence; some of a thousand are out of date.
pub const OBSERVERS_MAX: usize = 1_000;

/// Seconds between two reports of an observer: a thousand of them cost a node at most 13 kB a second.
pub const OBSERVER_PERIOD_SECONDS: u64 = 15;

/// Least time between two reports of an observer, as gossip may bunch them a little. A thousand liars that use it up cost a node
/// 20 kB a second.
pub const OBSERVER_INTERVAL_US: u64 = 10_000_000;

/// Most bytes of an observer's signed report: the ids and numbers of one without rows and distributions fit in, at their longest.
pub const OBSERVER_REPORT_BYTES: usize = 192;

/// Age at which an observer's report no longer counts.
pub const OBSERVER_EXPIRY_SECONDS: u64 = 3 * OBSERVER_PERIOD_SECONDS;

/// A report and when it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The report.
    pub signed: SignedReport,
    /// On this node's clock, in microseconds.
    pub at_us: u64,
    /// Whether its rows are about the members of the current epoch, in their order.
    pub has_current_rows: bool,
}

/// The reports with the lowest tickets.
#[derive(Debug, Clone)]
pub struct ObserverSample {
    beacon: Hash,
    most: usize,
    by_ticket: BTreeMap<(Hash, ValidatorId), Kept>,
}

impl ObserverSample {
    /// An empty sample of an epoch.
    pub fn new(beacon: Hash) -> Self {
        Self::of_size(beacon, OBSERVERS_MAX)
    }

    fn of_size(beacon: Hash, most: usize) -> Self {
        Self { beacon, most, by_ticket: BTreeMap::new() }
    }

    /// Whether a node is in the sample as far as is known: it is not full, or the node's ticket is below its highest.
    pub fn draws(&self, node: &ValidatorId) -> bool {
        let own = ticket(&self.beacon, node);
        self.by_ticket.len() < self.most
            || self.by_ticket.last_key_value().is_some_and(|((highest, _), _)| own <= *highest)
    }

    /// The newest report of a node.
    pub fn get(&self, node: &ValidatorId) -> Option<&Kept> {
        self.by_ticket.get(&(ticket(&self.beacon, node), *node))
    }

    /// Keeps a report, if its maker is drawn.
    pub fn keep(&mut self, signed: SignedReport, at_us: u64) {
        let reporter = signed.report.reporter;
        if !self.draws(&reporter) {
            return;
        }
        self.by_ticket.insert(
            (ticket(&self.beacon, &reporter), reporter),
            Kept { signed, at_us, has_current_rows: false },
        );
        if self.by_ticket.len() > self.most {
            self.by_ticket.pop_last();
        }
    }

    /// Drops what came before `since_us`, and with it nodes that have gone.
    pub fn expire(&mut self, since_us: u64) {
        self.by_ticket.retain(|_, kept| kept.at_us >= since_us);
    }

    /// The reports in order of ticket.
    pub fn reports(&self) -> impl ExactSizeIterator<Item = &Kept> {
        self.by_ticket.values()
    }

    /// How many observers report: counted while the sample is not full, estimated otherwise.
    pub fn population(&self) -> usize {
        let count = self.by_ticket.len();
        let highest = self.by_ticket.last_key_value().filter(|_| count >= self.most);
        let estimate = highest.and_then(|((highest, _), _)| population_of(count, highest));
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a positive estimate; the cast saturates"
        )]
        let estimate = estimate.map(|estimate| estimate.round() as usize);
        estimate.map_or(count, |estimate| estimate.max(count))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use aegis_metrics::Report;
    use aegis_metrics::statistics::observers::draw;
    use aegis_types::{Epoch, Height, Signature, Weight};

    use super::*;

    fn report(node: ValidatorId) -> SignedReport {
        let report = Report {
            epoch: Epoch(0),
            sequence: 1,
            reporter: node,
            height: Height(1),
            rtt_us: Vec::new(),
            votes_in_time: Vec::new(),
            channels: BTreeMap::new(),
            values: Default::default(),
            covered_weight: Weight(0),
        };
        SignedReport { report, signature: Signature([0; 64]) }
    }

    fn nodes(count: u32) -> Vec<ValidatorId> {
        (0..count).map(|number| ValidatorId(Hash::of("node", &number.to_be_bytes()).0)).collect()
    }

    #[test]
    fn whatever_the_order_the_lowest_tickets_are_kept() {
        let (beacon, nodes) = (Hash([3; 32]), nodes(500));
        let mut sample = ObserverSample::of_size(beacon, 50);
        for node in nodes.iter().rev() {
            sample.keep(report(*node), 0);
        }
        let kept: BTreeSet<_> = sample.reports().map(|kept| kept.signed.report.reporter).collect();
        assert_eq!(kept, draw(&beacon, &nodes, 50).into_iter().collect());
        let silent = nodes.iter().filter(|node| !sample.draws(node)).count();
        assert_eq!(silent, 450);
    }

    #[test]
    fn the_population_is_counted_and_then_estimated() {
        let mut sample = ObserverSample::of_size(Hash([4; 32]), 400);
        let nodes = nodes(10_000);
        for node in &nodes[..300] {
            sample.keep(report(*node), 0);
        }
        assert_eq!(sample.population(), 300);
        for node in &nodes {
            sample.keep(report(*node), 0);
        }
        // Three standard errors of 1 / sqrt(400).
        assert!((8_500..11_500).contains(&sample.population()), "{}", sample.population());
    }

    #[test]
    fn who_has_gone_makes_room() {
        let mut sample = ObserverSample::of_size(Hash([4; 32]), 10);
        for (at, node) in nodes(20).into_iter().enumerate() {
            sample.keep(report(node), u64::try_from(at).unwrap());
        }
        sample.expire(19);
        assert!(sample.reports().len() <= 1);
        assert!(nodes(100).iter().all(|node| sample.draws(node)));
    }
}
