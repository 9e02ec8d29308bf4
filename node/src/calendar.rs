//! Times and lengths of time as people write them.

use std::time::{Duration, UNIX_EPOCH};

/// The first time that the calendar format cannot write: the year 10000.
const END_MS: u64 = 253_402_300_800_000;

/// A time in milliseconds of the Unix epoch, in RFC 3339.
pub fn time(millis: u64) -> String {
    match UNIX_EPOCH.checked_add(Duration::from_millis(millis)) {
        Some(time) if millis < END_MS => humantime::format_rfc3339_millis(time).to_string(),
        _ => format!("{millis} ms"),
    }
}

/// A length of time in milliseconds, to the second.
pub fn length(millis: u64) -> String {
    humantime::format_duration(Duration::from_secs(millis / 1_000)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_beyond_the_calendar_are_numbers() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(END_MS), "253402300800000 ms");
        assert_eq!(time(u64::MAX), format!("{} ms", u64::MAX));
        assert_eq!(length(61_999), "1m 1s");
    }
}
