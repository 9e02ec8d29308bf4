//! The window: the last 600 seconds of every channel, with its gaps.
//!
//! - A second in which a channel could not be read is a gap. The last value before it is carried forward; gaps at the
//!   start take the first value.
//! - A channel with more than a tenth of gaps, or with ten distinct values or fewer, is left out of the view: the
//!   first would be made up, the second makes covariances singular. The view says which and why.

use std::collections::VecDeque;

use crate::reports::{CHANNELS, SAMPLES_MAX};
use crate::sampling::channel::Channel;

/// Seconds in a full window: ten minutes. Shorter windows cannot tell phi from chance; longer ones mix one state of
/// the node with another.
pub const WINDOW_SECONDS: usize = SAMPLES_MAX as usize;

/// A channel with more than one gap in this many samples is dropped.
const GAPS_ONE_IN: usize = 10;

/// A channel with this many distinct values or fewer is dropped.
const DISTINCT_TOO_FEW: usize = 10;

/// The values of one second, by channel; nothing for what could not be read.
pub type Row = [Option<f64>; CHANNELS];

/// The last [`WINDOW_SECONDS`] seconds.
#[derive(Debug, Clone, Default)]
pub struct Window {
    rows: VecDeque<Row>,
    last_second: Option<u64>,
}

/// Why a channel is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// More than a tenth of its samples are missing.
    Gaps,
    /// It has ten distinct values or fewer.
    FewValues,
}

/// The channels that can be used, each of the same length and without gaps.
#[derive(Debug, Clone, Default)]
pub struct WindowView {
    /// Samples per channel.
    pub samples: usize,
    /// The channels that are used, in order.
    pub kept: Vec<(Channel, Vec<f64>)>,
    /// The channels that are not, in order.
    pub dropped: Vec<(Channel, DropReason)>,
}

impl Window {
    /// Adds the values of a second on the node's monotonic clock. Seconds left out since the last are gaps; a second
    /// that does not come after the last is ignored, and `false` is returned. Values that are no finite number are
    /// gaps.
    pub fn push(&mut self, second: u64, row: Row) -> bool {
        let missed = match self.last_second {
            Some(last) if second <= last => return false,
            Some(last) => second.saturating_sub(last).saturating_sub(1),
            None => 0,
        };
        let missed = usize::try_from(missed).unwrap_or(WINDOW_SECONDS).min(WINDOW_SECONDS);
        for row in std::iter::repeat_n([None; CHANNELS], missed).chain([row]) {
            if self.rows.len() >= WINDOW_SECONDS {
                self.rows.pop_front();
            }
            self.rows.push_back(row.map(|value| value.filter(|value| value.is_finite())));
        }
        self.last_second = Some(second);
        true
    }

    /// Samples in the window.
    pub fn samples(&self) -> usize {
        self.rows.len()
    }

    /// The channels that can be used now.
    pub fn view(&self) -> WindowView {
        let mut view = WindowView { samples: self.rows.len(), ..WindowView::default() };
        for channel in Channel::ALL {
            let column =
                self.rows.iter().map(|row| row.get(usize::from(channel.number())).copied().flatten());
            match usable(column.collect()) {
                Ok(values) => view.kept.push((channel, values)),
                Err(reason) => view.dropped.push((channel, reason)),
            }
        }
        view
    }
}

impl WindowView {
    /// The used channels' values, in order.
    pub fn columns(&self) -> Vec<&[f64]> {
        self.kept.iter().map(|(_, values)| values.as_slice()).collect()
    }

    /// The used channels as a mask.
    pub fn mask(&self) -> u8 {
        self.kept.iter().fold(0, |mask, (channel, _)| mask | channel.bit())
    }
}

fn usable(column: Vec<Option<f64>>) -> Result<Vec<f64>, DropReason> {
    let gaps = column.iter().filter(|value| value.is_none()).count();
    let first = column.iter().flatten().next().copied();
    let (Some(mut last), false) = (first, gaps.saturating_mul(GAPS_ONE_IN) > column.len()) else {
        return Err(DropReason::Gaps);
    };
    let values: Vec<f64> = column
        .into_iter()
        .map(|value| {
            last = value.unwrap_or(last);
            last
        })
        .collect();
    let mut distinct = values.clone();
    distinct.sort_by(f64::total_cmp);
    distinct.dedup();
    if distinct.len() <= DISTINCT_TOO_FEW { Err(DropReason::FewValues) } else { Ok(values) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: f64) -> Row {
        std::array::from_fn(|channel| Some(value + f64::from(u8::try_from(channel).unwrap())))
    }

    fn filled(seconds: u64, make: impl Fn(u64) -> Row) -> Window {
        let mut window = Window::default();
        for second in 0..seconds {
            assert!(window.push(second, make(second)));
        }
        window
    }

    fn number(second: u64) -> f64 {
        f64::from(u32::try_from(second).unwrap())
    }

    #[test]
    fn ten_minutes_are_kept_and_seconds_do_not_run_backwards() {
        let mut window = filled(700, |second| row(number(second)));
        assert_eq!(window.samples(), WINDOW_SECONDS);
        assert_eq!(window.view().kept[0].1[0], 100.0);
        assert!(!window.push(699, row(0.0)));
        assert_eq!(window.view().mask(), 0xff);
    }

    #[test]
    fn gaps_carry_the_last_value_until_there_are_too_many() {
        let with_gaps = |every: u64| {
            filled(100, |second| if second % every == 1 { [None; CHANNELS] } else { row(number(second)) })
                .view()
        };
        assert_eq!(with_gaps(10).kept[0].1[..3], [0.0, 0.0, 2.0]);
        assert!(with_gaps(9).dropped.iter().all(|(_, reason)| *reason == DropReason::Gaps));
        assert_eq!(with_gaps(9).dropped.len(), CHANNELS);
    }

    #[test]
    fn seconds_left_out_are_gaps_and_a_gap_at_the_start_takes_the_first_value() {
        let mut window = Window::default();
        window.push(5, [None; CHANNELS]);
        for second in 6..40 {
            window.push(second, row(number(second)));
        }
        window.push(42, row(42.0));
        let view = window.view();
        assert_eq!(view.samples, 38);
        assert_eq!(view.kept[0].1[..2], [6.0, 6.0]);
        assert_eq!(view.kept[0].1[35..], [39.0, 39.0, 42.0]);
        window.push(u64::MAX, row(1.0));
        assert_eq!(window.samples(), WINDOW_SECONDS);
    }

    #[test]
    fn ten_distinct_values_are_too_few_and_what_is_no_number_is_a_gap() {
        let modulo = |values: u64| filled(200, move |second| row(number(second % values))).view();
        assert!(modulo(10).dropped.iter().all(|(_, reason)| *reason == DropReason::FewValues));
        assert_eq!(modulo(11).kept.len(), CHANNELS);
        let view =
            filled(200, |second| if second < 100 { row(f64::NAN) } else { row(number(second)) }).view();
        assert!(view.dropped.iter().all(|(_, reason)| *reason == DropReason::Gaps));
        assert_eq!(Window::default().view().dropped.len(), CHANNELS);
    }
}
