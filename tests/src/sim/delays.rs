//! One-way delays between places: from the list of cities, or from a file of measured round trips.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, bail};

use super::cities::{CITIES, delay};
use super::clock::Micros;

/// Most places of a file.
const PLACES_MAX: usize = 1_024;

/// A square table of one-way delays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelayTable {
    rows: Vec<Vec<Micros>>,
}

impl DelayTable {
    /// The delays between the cities of [`CITIES`].
    pub fn of_cities() -> Self {
        let row = |from| CITIES.iter().map(|to| delay(from, to)).collect();
        Self { rows: CITIES.iter().map(row).collect() }
    }

    /// Reads round-trip times in milliseconds, comma-separated, row by row, without a header; half of each is the delay.
    ///
    /// # Errors
    /// When the file cannot be read, is not square, or holds something that is no time.
    pub fn from_round_trips(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("the round-trip times at {} cannot be read", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is no table of round-trip times", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut rows = Vec::new();
        for (number, line) in text.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
            let mut row = Vec::new();
            for field in line.split(',') {
                let millis: f64 = field
                    .trim()
                    .parse()
                    .with_context(|| format!("row {}: `{field}` is no number of milliseconds", number + 1))?;
                if !(0.0..=600_000.0).contains(&millis) {
                    bail!("row {}: a round trip of {millis} ms is not between 0 and 600000", number + 1);
                }
                row.push((millis * 500.0) as Micros);
            }
            rows.push(row);
        }
        if rows.is_empty() || rows.len() > PLACES_MAX || rows.iter().any(|row| row.len() != rows.len()) {
            bail!("it has to have as many columns as rows, 1 to {PLACES_MAX}");
        }
        Ok(Self { rows })
    }

    /// A table of these places only, in this order; places beyond the table start again from its beginning.
    #[must_use]
    pub fn of_places(&self, places: &[usize]) -> Self {
        let row = |from: &usize| places.iter().map(|to| self.between(*from, *to)).collect();
        Self { rows: places.iter().map(row).collect() }
    }

    /// The same table with some places so far away from all others.
    #[must_use]
    pub fn with_distant(&self, distant: &BTreeSet<usize>, delay: Micros) -> Self {
        let is_far =
            |from: usize, to: usize| from != to && (distant.contains(&from) || distant.contains(&to));
        let between = |from: usize, to: usize| if is_far(from, to) { delay } else { self.between(from, to) };
        let places = self.places();
        Self { rows: (0..places).map(|from| (0..places).map(|to| between(from, to)).collect()).collect() }
    }

    /// Number of places.
    pub fn places(&self) -> usize {
        self.rows.len()
    }

    /// The delay from one place to another; places beyond the table start again from its beginning.
    pub fn between(&self, from: usize, to: usize) -> Micros {
        self.rows[from % self.places()][to % self.places()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_round_trips_is_halved() {
        let table = DelayTable::parse("1.0, 20\n30,2\n").unwrap();
        assert_eq!((table.places(), table.between(0, 1), table.between(1, 0)), (2, 10_000, 15_000));
        assert_eq!(table.between(2, 3), 10_000, "places repeat");
    }

    #[test]
    fn tables_that_are_not_square_or_not_times_are_refused() {
        for text in ["", "1,2\n3", "1,x\n2,3", "-1", "inf"] {
            assert!(DelayTable::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_cities_table_is_symmetric() {
        let table = DelayTable::of_cities();
        for a in 0..table.places() {
            for b in 0..table.places() {
                assert_eq!(table.between(a, b), table.between(b, a));
            }
        }
    }
}
