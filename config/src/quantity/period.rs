//! Lengths of time such as `5s` or `1m 30s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time, written with its unit: `2ms`, `5s`, `1m 30s`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl Period {
    /// A number of milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// A number of seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The length of time.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_duration(text.trim()).map(Self).map_err(|error| {
            format!(
                "expected a length of time with its unit, such as \"500ms\", \"5s\" or \"1m 30s\": {error}"
            )
        })
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read_as_people_write_them_and_written_back_the_same() {
        for text in ["2ms", "5s", "1m 30s", "1h"] {
            let period: Period = text.parse().expect("a period");
            assert_eq!(period.to_string(), text);
        }
        assert_eq!("90s".parse(), Ok(Period(Duration::from_secs(90))));
    }

    #[test]
    fn a_number_without_a_unit_is_refused_with_an_example() {
        let error = "5".parse::<Period>().expect_err("no unit");
        assert!(error.contains("\"5s\""), "{error}");
    }
}
