//! Whether a snapshot comes in useful time.
//!
//! Whoever has a snapshot that nobody else has could otherwise hold a newcomer up for ever. What is left is estimated from
//! what was verified and never from what a manifest claims: chunks are cut by hash, so all have about the same size.

use std::time::{Duration, Instant};

/// How often the pace is looked at.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Bytes a second that must arrive, however small a snapshot is.
const RATE_MIN: u64 = 16 * 1024;
/// A snapshot that would take longer than this at its pace is given up: by then nobody would hold it any more.
const TIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// Within this time at least one piece must be found right: what merely arrives may be rubbish. The largest chunk takes
/// less at 110 KiB/s, and an ordinary one at 2 KiB/s.
const VERIFIED_WITHIN: Duration = Duration::from_secs(600);

/// What has come, and when it is looked at.
#[derive(Debug)]
pub struct Pace {
    pieces: u64,
    pieces_done: u64,
    bytes_done: u64,
    /// Bytes that had arrived when the window began.
    arrived_before: u64,
    deadline: Instant,
    verified_at: Instant,
}

impl Pace {
    /// Of a snapshot of so many pieces, of which some were kept from an earlier attempt.
    pub fn begin(pieces: usize, kept: usize, kept_bytes: u64, now: Instant) -> Self {
        Self {
            pieces: pieces as u64,
            pieces_done: kept as u64,
            bytes_done: kept_bytes,
            arrived_before: 0,
            deadline: now + WINDOW,
            verified_at: now,
        }
    }

    /// When it is looked at next.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Notes that a piece was found right.
    pub fn note_verified(&mut self, bytes: u64, now: Instant) {
        self.pieces_done += 1;
        self.bytes_done = self.bytes_done.saturating_add(bytes);
        self.verified_at = now;
    }

    /// Whether it is worth going on, with so many bytes arrived since the beginning, wrong ones included.
    pub fn is_useful(&mut self, arrived: u64, now: Instant) -> bool {
        if now < self.deadline {
            return true;
        }
        let needed = self.rate_needed().saturating_mul(WINDOW.as_secs());
        let has_arrived = arrived.saturating_sub(self.arrived_before) >= needed;
        self.arrived_before = arrived;
        self.deadline = now + WINDOW;
        has_arrived && now.saturating_duration_since(self.verified_at) < VERIFIED_WITHIN
    }

    fn rate_needed(&self) -> u64 {
        let left = self.pieces.saturating_sub(self.pieces_done);
        let mean = self.bytes_done.checked_div(self.pieces_done).unwrap_or(0);
        (mean.saturating_mul(left) / TIME_MAX.as_secs()).max(RATE_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn parts_on_their_way_count_although_no_piece_is_complete() {
        let begun = Instant::now();
        let mut pace = Pace::begin(100, 0, 0, begun);
        assert!(pace.is_useful(0, begun + WINDOW / 2), "it is not looked at yet");
        assert!(pace.is_useful(MIB, begun + WINDOW));
        assert!(pace.is_useful(2 * MIB, begun + 2 * WINDOW));
        assert!(!pace.is_useful(2 * MIB, begun + 3 * WINDOW), "nothing more has come");
    }

    #[test]
    fn what_drips_is_given_up_the_sooner_the_larger_the_snapshot_is() {
        let begun = Instant::now();
        let sparing = RATE_MIN * WINDOW.as_secs();
        let mut small = Pace::begin(1_000, 1, MIB, begun);
        assert!(small.is_useful(sparing, begun + WINDOW));
        let mut large = Pace::begin(60_000, 1, MIB, begun);
        assert!(!large.is_useful(sparing, begun + WINDOW), "it would take more than a month");
        let mut large = Pace::begin(60_000, 1, MIB, begun);
        assert!(large.is_useful(60 * MIB, begun + WINDOW));
    }

    #[test]
    fn endless_rubbish_does_not_count_as_progress() {
        let begun = Instant::now();
        let mut pace = Pace::begin(100, 0, 0, begun);
        let minutes = VERIFIED_WITHIN.as_secs() / WINDOW.as_secs();
        let useful = (1..=2 * minutes).take_while(|minute| {
            pace.is_useful(minute * 60 * MIB, begun + WINDOW * u32::try_from(*minute).unwrap())
        });
        assert_eq!(useful.count() as u64, minutes - 1);
        let mut pace = Pace::begin(100, 0, 0, begun);
        for minute in 1..=3 * minutes {
            let now = begun + WINDOW * u32::try_from(minute).unwrap();
            pace.note_verified(MIB, now);
            assert!(pace.is_useful(minute * 60 * MIB, now));
        }
    }
}
