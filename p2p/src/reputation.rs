//! What peers have done to us, and for how long we want nothing more to do with them.
//!
//! A score starts at 0 and only falls; it halves towards 0 every ten minutes. At -100 the peer is banned. Each further ban
//! within a day of the last lasts twice as long.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::PeerId;

/// Something a peer did that it should not have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offence {
    /// It sent bytes that no correct node sends: undecodable, too large, out of protocol.
    Malformed,
    /// It sent something well formed that is provably wrong, such as a bad signature.
    Invalid,
    /// It sent more than it may.
    Flood,
    /// It did not answer, or answered uselessly.
    Unanswered,
}

impl Offence {
    /// Malformed bytes cannot come from a correct node, so two within minutes are enough for a ban; silence may be the
    /// network's fault.
    const fn penalty(self) -> f64 {
        match self {
            Self::Malformed => 60.0,
            Self::Invalid => 25.0,
            Self::Flood => 10.0,
            Self::Unanswered => 2.0,
        }
    }
}

/// Score at which a peer is banned.
const BAN_SCORE: f64 = -100.0;

/// A score halves in this time: a peer that was upgraded is forgiven within the hour.
const HALF_LIFE: Duration = Duration::from_secs(600);

/// No ban is longer: a validator that was mended must be able to return within a working day.
const BAN_MAX: Duration = Duration::from_secs(4 * 3600);

/// After this long without an offence a peer's history is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Peers remembered. Identities are free to make, so the oldest record goes when this is reached.
const RECORDS_MAX: usize = 4096;

#[derive(Debug, Clone)]
struct Record {
    score: f64,
    at: Instant,
    bans: u32,
    banned_until: Option<Instant>,
}

impl Record {
    fn score_at(&self, now: Instant) -> f64 {
        let half_lives = now.saturating_duration_since(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.score * 0.5_f64.powf(half_lives)
    }
}

/// What follows from an offence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Consequence {
    /// The peer's new score.
    Scored(f64),
    /// The peer is to be disconnected and kept out this long.
    Banned(Duration),
}

/// The scores of all peers that ever offended.
#[derive(Debug)]
pub(crate) struct Reputation {
    records: HashMap<PeerId, Record>,
    ban: Duration,
    /// Banned peers that were forgotten to make room; they are released with the next ones.
    forgotten: Vec<PeerId>,
}

impl Reputation {
    pub(crate) fn new(ban: Duration) -> Self {
        Self { records: HashMap::new(), ban, forgotten: Vec::new() }
    }

    /// The score of a peer: 0 at best, -100 at worst.
    pub(crate) fn score(&self, peer: &PeerId, now: Instant) -> f64 {
        self.records.get(peer).map_or(0.0, |record| record.score_at(now))
    }

    /// Whether the peer is banned and not released yet.
    pub(crate) fn is_banned(&self, peer: &PeerId) -> bool {
        self.records.get(peer).is_some_and(|record| record.banned_until.is_some())
    }

    /// Notes an offence.
    pub(crate) fn report(&mut self, peer: PeerId, offence: Offence, now: Instant) -> Consequence {
        self.make_room(&peer, now);
        let fresh = Record { score: 0.0, at: now, bans: 0, banned_until: None };
        let record = self.records.entry(peer).or_insert(fresh);
        record.score = (record.score_at(now) - offence.penalty()).max(BAN_SCORE);
        record.at = now;
        if record.score > BAN_SCORE || record.banned_until.is_some() {
            return Consequence::Scored(record.score);
        }
        let length = self.ban.saturating_mul(2_u32.saturating_pow(record.bans)).min(BAN_MAX);
        record.bans = record.bans.saturating_add(1);
        record.banned_until = Some(now + length);
        Consequence::Banned(length)
    }

    /// The peers whose ban is over. They return with half of the score that banned them.
    pub(crate) fn release(&mut self, now: Instant) -> Vec<PeerId> {
        let mut released = std::mem::take(&mut self.forgotten);
        for (peer, record) in &mut self.records {
            if record.banned_until.is_some_and(|until| until <= now) {
                record.banned_until = None;
                record.score = BAN_SCORE / 2.0;
                record.at = now;
                released.push(*peer);
            }
        }
        self.records.retain(|_, record| {
            record.banned_until.is_some() || now.saturating_duration_since(record.at) < FORGET_AFTER
        });
        released
    }

    /// Forgets the peer whose last offence is oldest, unbanned ones first, when there is no room for another.
    fn make_room(&mut self, peer: &PeerId, now: Instant) {
        if self.records.len() < RECORDS_MAX || self.records.contains_key(peer) {
            return;
        }
        let is_banned = |record: &Record| record.banned_until.is_some_and(|until| until > now);
        let oldest = self.records.iter().min_by_key(|(_, record)| (is_banned(record), record.at));
        if let Some(oldest) = oldest.map(|(oldest, _)| *oldest)
            && self.records.remove(&oldest).is_some_and(|record| record.banned_until.is_some())
        {
            self.forgotten.push(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAN: Duration = Duration::from_secs(60);

    #[test]
    fn two_malformed_messages_ban_and_time_releases() {
        let (mut reputation, peer, start) = (Reputation::new(BAN), PeerId::random(), Instant::now());
        assert_eq!(reputation.report(peer, Offence::Malformed, start), Consequence::Scored(-60.0));
        let soon = start + Duration::from_secs(60);
        assert_eq!(reputation.report(peer, Offence::Malformed, soon), Consequence::Banned(BAN));
        assert!(reputation.release(soon + BAN / 2).is_empty());
        assert_eq!(reputation.release(soon + BAN), [peer]);
        assert_eq!(reputation.score(&peer, soon + BAN), -50.0);
    }

    #[test]
    fn the_next_ban_lasts_twice_as_long() {
        let (mut reputation, peer, start) = (Reputation::new(BAN), PeerId::random(), Instant::now());
        reputation.report(peer, Offence::Malformed, start);
        reputation.report(peer, Offence::Malformed, start);
        reputation.release(start + BAN);
        assert_eq!(reputation.report(peer, Offence::Malformed, start + BAN), Consequence::Banned(BAN * 2));
    }

    #[test]
    fn a_score_halves_with_time() {
        let (mut reputation, peer, start) = (Reputation::new(BAN), PeerId::random(), Instant::now());
        reputation.report(peer, Offence::Malformed, start);
        assert!((reputation.score(&peer, start + HALF_LIFE) + 30.0).abs() < 1e-9);
    }

    #[test]
    fn many_identities_do_not_push_out_a_ban() {
        let (mut reputation, banned, start) = (Reputation::new(BAN), PeerId::random(), Instant::now());
        reputation.report(banned, Offence::Malformed, start);
        reputation.report(banned, Offence::Malformed, start);
        for _ in 0..RECORDS_MAX + 10 {
            reputation.report(PeerId::random(), Offence::Unanswered, start + Duration::from_secs(1));
        }
        assert!(reputation.records.len() <= RECORDS_MAX);
        assert!(reputation.score(&banned, start) < 0.0);
    }
}
