//! The peers that a snapshot is fetched from: how much is asked of them at once, and of whom next.
//!
//! How many questions are under way follows from what comes back, as with any line: few at first, more with each success,
//! half with a time-out. Parts of 1 MiB that are all under way at once on a slow line would all come too late. Who has sent
//! something comes before who has not, so that silent peers do not keep a small window to themselves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aegis_types::ValidatorId;
use tokio_util::sync::CancellationToken;

/// Peers that a snapshot is fetched from. With as many pieces under way as all of them may have, slow ones cannot take the
/// others' places; more would use up the questions that this node may have open.
pub const SOURCES_MAX: usize = 24;
/// Pieces under way with one peer: half of the requests that it serves, so that other questions get through.
const PIECES_PER_PEER: usize = 2;
/// Pieces under way at first. On a line of 500 KB/s their parts come in time.
const WINDOW_FIRST: usize = 4;
/// A peer that leaves so many questions unanswered, one after the other, is not asked again in this attempt.
const SILENCES_MAX: u32 = 3;
/// How long a peer is left alone that asks for it or is gone; twice as long each time.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// Why a question brought nothing, although nothing wrong was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// No answer in time, to a question put at a moment.
    Timeout {
        /// When it was put.
        asked: Instant,
        /// Whether anything else arrived meanwhile: if not, our own line may be too slow for what is under way.
        others_came: bool,
    },
    /// The peer is busy, or this node is.
    Later,
    /// The connection is gone.
    Gone,
}

#[derive(Debug)]
struct Source {
    /// Its place in the order of those who were given.
    rank: usize,
    under_way: usize,
    has_delivered: bool,
    /// Questions unanswered since it sent something, whosever fault that was.
    misses: u32,
    /// Those of them that must be its own fault.
    silences: u32,
    rests_until: Option<Instant>,
    /// Cancelled when it is not asked again in this attempt: what it still sends is not waited for.
    out: CancellationToken,
}

/// All sources of a snapshot.
#[derive(Debug)]
pub struct Sources {
    all: BTreeMap<ValidatorId, Source>,
    /// Pieces that may be under way in all.
    window: usize,
    halved: Option<Instant>,
}

impl Sources {
    /// Those peers, of whom the first are asked first.
    pub fn of(peers: &[ValidatorId]) -> Self {
        let source = |(rank, peer): (usize, &ValidatorId)| {
            let source = Source {
                rank,
                under_way: 0,
                has_delivered: false,
                misses: 0,
                silences: 0,
                rests_until: None,
                out: CancellationToken::new(),
            };
            (*peer, source)
        };
        let all = peers.iter().take(SOURCES_MAX).enumerate().map(source).collect();
        Self { all, window: WINDOW_FIRST, halved: None }
    }

    /// Whether nobody is left who may be asked.
    pub fn is_exhausted(&self) -> bool {
        self.all.values().all(|source| source.out.is_cancelled())
    }

    /// Who has room for another question now, in the order in which they should be asked.
    pub fn ready(&self, now: Instant) -> Vec<ValidatorId> {
        let under_way: usize = self.all.values().map(|source| source.under_way).sum();
        if under_way >= self.window {
            return Vec::new();
        }
        let is_ready = |source: &Source| {
            !source.out.is_cancelled()
                && source.under_way < PIECES_PER_PEER
                && source.rests_until.is_none_or(|until| until <= now)
        };
        let mut ready: Vec<_> = self.all.iter().filter(|(_, source)| is_ready(source)).collect();
        ready
            .sort_by_key(|(_, source)| (source.misses, source.under_way, !source.has_delivered, source.rank));
        ready.into_iter().map(|(peer, _)| *peer).collect()
    }

    /// Notes that time has passed: who has rested long enough does not rest any more.
    pub fn wake(&mut self, now: Instant) {
        for source in self.all.values_mut() {
            source.rests_until = source.rests_until.filter(|until| *until > now);
        }
    }

    /// When the first one that rests may be asked again.
    pub fn next_rested(&self) -> Option<Instant> {
        let resting = self.all.values().filter(|source| !source.out.is_cancelled());
        resting.filter_map(|source| source.rests_until).min()
    }

    /// Notes that a peer is asked; the token is cancelled when its answer is not waited for any more.
    pub fn begin(&mut self, peer: &ValidatorId) -> CancellationToken {
        let Some(source) = self.all.get_mut(peer) else { return CancellationToken::new() };
        source.under_way += 1;
        source.rests_until = None;
        source.out.clone()
    }

    /// Notes that a question to a peer has ended.
    pub fn end(&mut self, peer: &ValidatorId) {
        if let Some(source) = self.all.get_mut(peer) {
            source.under_way = source.under_way.saturating_sub(1);
        }
    }

    /// Notes that a peer has sent a right piece.
    pub fn note_delivered(&mut self, peer: &ValidatorId) {
        let most = self.all.len().saturating_mul(PIECES_PER_PEER);
        if let Some(source) = self.all.get_mut(peer) {
            (source.misses, source.silences, source.has_delivered) = (0, 0, true);
            self.window = self.window.saturating_add(1).min(most.max(1));
        }
    }

    /// Notes that a question to a peer brought nothing.
    pub fn note_missed(&mut self, peer: &ValidatorId, miss: Miss, now: Instant) {
        let others: usize = self.all.values().map(|source| source.under_way).sum();
        let Some(source) = self.all.get_mut(peer) else { return };
        source.misses = source.misses.saturating_add(1);
        match miss {
            Miss::Timeout { asked, others_came } => {
                let may_be_our_line = !others_came && others > 0;
                if !may_be_our_line {
                    source.silences = source.silences.saturating_add(1);
                }
                let is_news = self.halved.is_none_or(|halved| asked >= halved);
                if is_news && (source.has_delivered || !others_came) {
                    self.window = (self.window / 2).max(1);
                    self.halved = Some(now);
                }
            }
            Miss::Later => source.rests_until = Some(now + pause(source.misses)),
            Miss::Gone => {
                source.silences = source.silences.saturating_add(1);
                source.rests_until = Some(now + pause(source.misses));
            }
        }
        if source.silences >= SILENCES_MAX {
            source.out.cancel();
        }
    }

    /// Does not ask a peer again in this attempt.
    pub fn drop_out(&mut self, peer: &ValidatorId) {
        if let Some(source) = self.all.get_mut(peer) {
            source.out.cancel();
        }
    }

    /// Those who were asked in vain and have sent nothing.
    pub fn useless(&self) -> Vec<ValidatorId> {
        let is_useless =
            |source: &Source| !source.has_delivered && (source.misses > 0 || source.out.is_cancelled());
        self.all.iter().filter(|(_, source)| is_useless(source)).map(|(peer, _)| *peer).collect()
    }
}

fn pause(misses: u32) -> Duration {
    let doubled = 1_u32.checked_shl(misses.saturating_sub(1)).unwrap_or(u32::MAX);
    PAUSE.saturating_mul(doubled).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(count: u8) -> Vec<ValidatorId> {
        (1..=count).map(|number| ValidatorId([number; 32])).collect()
    }

    /// Asks until nobody has room, and returns who was asked.
    fn ask_all(sources: &mut Sources, now: Instant) -> Vec<ValidatorId> {
        let mut asked = Vec::new();
        while let Some(peer) = sources.ready(now).first().copied() {
            sources.begin(&peer);
            asked.push(peer);
        }
        asked
    }

    fn time_out(sources: &mut Sources, peer: &ValidatorId, asked: Instant, others_came: bool) {
        sources.end(peer);
        let now = asked + Duration::from_secs(10);
        sources.note_missed(peer, Miss::Timeout { asked, others_came }, now);
    }

    #[test]
    fn few_are_asked_at_first_and_more_with_each_success() {
        let (peers, now) = (peers(24), Instant::now());
        let mut sources = Sources::of(&peers);
        let asked = ask_all(&mut sources, now);
        assert_eq!(asked, peers[..WINDOW_FIRST], "one each");
        for peer in &asked {
            sources.end(peer);
            sources.note_delivered(peer);
        }
        assert_eq!(ask_all(&mut sources, now).len(), 2 * WINDOW_FIRST);
        (0..100).for_each(|_| sources.note_delivered(&peers[0]));
        assert_eq!(sources.window, 48, "no more than all of them serve");
    }

    #[test]
    fn a_slow_line_ends_with_one_question_at_a_time_and_nobody_is_blamed() {
        let (peers, mut now) = (peers(6), Instant::now());
        let mut sources = Sources::of(&peers);
        let mut sizes = Vec::new();
        for _ in 0..3 {
            let asked = ask_all(&mut sources, now);
            sizes.push(asked.len());
            let (last, others) = asked.split_last().unwrap();
            others.iter().for_each(|peer| time_out(&mut sources, peer, now, false));
            now += Duration::from_secs(10);
            if others.is_empty() {
                sources.end(last);
                sources.note_delivered(last);
            } else {
                time_out(&mut sources, last, now - Duration::from_secs(10), true);
            }
        }
        assert_eq!(sizes, [4, 2, 1], "one round of time-outs halves it once");
        assert!(!sources.is_exhausted());
        assert_eq!(sources.window, 2);
    }

    #[test]
    fn a_silent_peer_is_left_out_while_others_send() {
        let (peers, now) = (peers(2), Instant::now());
        let mut sources = Sources::of(&peers);
        sources.note_delivered(&peers[0]);
        let window = sources.window;
        let out = sources.begin(&peers[1]);
        for _ in 0..SILENCES_MAX {
            assert!(!out.is_cancelled());
            sources.begin(&peers[1]);
            time_out(&mut sources, &peers[1], now, true);
        }
        assert!(out.is_cancelled());
        assert_eq!(sources.window, window, "it has never sent anything: it says nothing of our line");
        assert_eq!(sources.ready(now), [peers[0]; 1]);
        assert_eq!(sources.useless(), [peers[1]]);
    }

    #[test]
    fn one_that_is_busy_is_asked_later_and_never_left_out() {
        let (peers, mut now) = (peers(1), Instant::now());
        let mut sources = Sources::of(&peers);
        for _ in 0..20 {
            assert_eq!(sources.ready(now), peers);
            sources.begin(&peers[0]);
            sources.end(&peers[0]);
            sources.note_missed(&peers[0], Miss::Later, now);
            assert_eq!(sources.ready(now), []);
            let rested = sources.next_rested().unwrap();
            assert!(rested <= now + PAUSE_MAX);
            now = rested;
            sources.wake(now);
            assert_eq!(sources.next_rested(), None);
        }
        assert!(!sources.is_exhausted());
    }

    #[test]
    fn who_is_gone_for_good_is_left_out() {
        let (peers, now) = (peers(1), Instant::now());
        let mut sources = Sources::of(&peers);
        (0..SILENCES_MAX).for_each(|_| sources.note_missed(&peers[0], Miss::Gone, now));
        assert!(sources.is_exhausted());
    }
}
