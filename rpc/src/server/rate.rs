//! A token bucket per client address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Most addresses that have a bucket of their own: some hundred KiB. When all are in use, the others share one.
const ADDRESSES_MAX: usize = 4_096;

/// A bucket holds this many seconds' worth of requests.
const BURST_SECONDS: f64 = 2.0;

/// Limits the rate of requests by address.
pub(crate) struct RateLimit {
    per_second: f64,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    level: f64,
    at: Instant,
}

impl RateLimit {
    /// At most `per_second` requests of one address on average.
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second: f64::from(per_second), buckets: Mutex::default() }
    }

    /// Takes one request's worth; `false` when the address has used up its share.
    pub(crate) fn try_take(&self, address: IpAddr, now: Instant) -> bool {
        let full = self.per_second * BURST_SECONDS;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = network(address);
        if buckets.len() >= ADDRESSES_MAX && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| bucket.refilled(self.per_second, full, now).level < full);
            if buckets.len() >= ADDRESSES_MAX {
                key = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            }
        }
        let bucket = buckets.entry(key).or_insert(Bucket { level: full, at: now });
        *bucket = bucket.refilled(self.per_second, full, now);
        let has_one = bucket.level >= 1.0;
        if has_one {
            bucket.level -= 1.0;
        }
        has_one
    }
}

impl Bucket {
    fn refilled(self, per_second: f64, full: f64, now: Instant) -> Self {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        Self { level: (self.level + seconds * per_second).min(full), at: now.max(self.at) }
    }
}

/// IPv6 hosts choose freely within their /64, so that counts as one address.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_holds_and_others_are_not_affected() {
        let limit = RateLimit::new(10);
        let (start, one, other) =
            (Instant::now(), IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        assert_eq!((0..100).filter(|_| limit.try_take(one, start)).count(), 20);
        assert!(limit.try_take(other, start));
        let later = start + Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| limit.try_take(one, later)).count(), 10);
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_bucket() {
        let limit = RateLimit::new(1);
        let now = Instant::now();
        let passed = (0..100u16)
            .filter(|host| limit.try_take(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, *host]), now))
            .count();
        assert_eq!(passed, 2);
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        let limit = RateLimit::new(1);
        let now = Instant::now();
        for n in 0..20_000_u32 {
            limit.try_take(IpAddr::from(n.to_be_bytes()), now);
        }
        assert!(limit.buckets.lock().unwrap().len() <= ADDRESSES_MAX + 1);
    }
}
