//! Places for connections: so many in all, and so many for one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rate::network;

/// The places. Its map has at most as many entries as there are connections.
#[derive(Debug)]
pub(crate) struct Places {
    in_all: usize,
    per_address: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    count: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection's place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

impl Places {
    pub(crate) fn new(in_all: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self { in_all, per_address, taken: Mutex::default() })
    }

    /// Takes a place; none when all, or all of the address, are taken.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = network(address);
        let mut taken = self.lock();
        let of_address = taken.by_address.get(&address).copied().unwrap_or_default();
        if taken.count >= self.in_all || of_address >= self.per_address {
            return None;
        }
        taken.count += 1;
        taken.by_address.insert(address, of_address + 1);
        Some(Place { places: Arc::clone(self), address })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Nothing below panics between two changes that belong together.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.count = taken.count.saturating_sub(1);
        let of_address = taken.by_address.get(&self.address).copied().unwrap_or_default();
        if of_address > 1 {
            taken.by_address.insert(self.address, of_address - 1);
        } else {
            taken.by_address.remove(&self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_all_places_and_a_place_is_free_again_when_left() {
        let places = Places::new(3, 2);
        let address = |n| IpAddr::from([192, 0, 2, n]);
        let first = places.take(address(1)).expect("a place");
        let _second = places.take(address(1)).expect("a place");
        assert!(places.take(address(1)).is_none(), "the address has its share");
        let third = places.take(address(2)).expect("others have places");
        assert!(places.take(address(3)).is_none(), "all are taken");
        drop(first);
        let _fourth = places.take(address(1)).expect("the share is not used up any more");
        drop(third);
        assert_eq!(places.lock().by_address.len(), 1, "who has left is forgotten");
    }

    #[test]
    fn hosts_of_one_ipv6_network_count_as_one_address() {
        let places = Places::new(9, 1);
        let host = |n| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]);
        let _one = places.take(host(1)).expect("a place");
        assert!(places.take(host(2)).is_none());
    }
}
