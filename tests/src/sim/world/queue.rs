//! What is going to happen, in order of time; what happens at one time happens in the order in which it was scheduled.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::sim::clock::Micros;
use crate::sim::faults::FaultKind;
use crate::sim::packet::Packet;
use crate::sim::scenario::NodeIndex;

/// Something that happens at a time.
#[derive(Debug, Clone)]
pub enum Event {
    Deliver { from: NodeIndex, to: NodeIndex, packet: Packet },
    Wake { node: NodeIndex, incarnation: u64 },
    Flushed { node: NodeIndex, incarnation: u64 },
    Executed { node: NodeIndex, incarnation: u64 },
    Submit,
    Act { node: NodeIndex },
    Fault(FaultKind),
    Restart { node: NodeIndex },
    Strike { node: NodeIndex },
    Mend,
    SpeedUp,
    Check,
}

struct Scheduled {
    at: Micros,
    number: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// The event queue.
#[derive(Default)]
pub struct Queue {
    heap: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
}

impl Queue {
    /// Schedules an event.
    pub fn push(&mut self, at: Micros, event: Event) {
        self.scheduled += 1;
        self.heap.push(Reverse(Scheduled { at, number: self.scheduled, event }));
    }

    /// The next event and its time.
    pub fn pop(&mut self) -> Option<(Micros, Event)> {
        self.heap.pop().map(|Reverse(Scheduled { at, event, .. })| (at, event))
    }
}
