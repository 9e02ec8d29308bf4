//! Frames that wait to be written to one lane of one peer.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::config::NetworkLimits;
use crate::error::SendError;
use crate::lane::Lane;

/// Bytes handed to the writer at once: large enough that hundreds of votes share one write, small enough that a write
/// never holds much that the queue's bound no longer counts.
const BATCH_BYTES: usize = 256 << 10;

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    bytes: usize,
}

/// A queue bounded in frames and bytes. It belongs to one stream and ends with it.
#[derive(Debug)]
pub(crate) struct Outbox {
    lane: Lane,
    frames_max: usize,
    bytes_max: usize,
    queue: Mutex<Queue>,
    filled: Notify,
}

impl Outbox {
    pub(crate) fn new(lane: Lane, limits: &NetworkLimits) -> Self {
        Self {
            lane,
            frames_max: limits.outbox_frames,
            bytes_max: limits.outbox_bytes,
            queue: Mutex::default(),
            filled: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame; never waits.
    pub(crate) fn push(&self, frame: Bytes) -> Result<(), SendError> {
        let limit = self.lane.max_frame_bytes();
        if frame.len() > limit {
            return Err(SendError::TooLarge { actual: frame.len(), limit });
        }
        let mut queue = self.lock();
        let bytes = queue.bytes.saturating_add(frame.len());
        // An empty queue takes any frame: a bound below the largest frame must not block that frame for ever.
        let is_full = queue.frames.len() >= self.frames_max || bytes > self.bytes_max;
        if is_full && !queue.frames.is_empty() {
            return Err(SendError::Full);
        }
        queue.bytes = bytes;
        queue.frames.push_back(frame);
        drop(queue);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for frames and takes the oldest, as many as make a good write.
    pub(crate) async fn next_batch(&self) -> Vec<Bytes> {
        loop {
            let batch = self.take_batch();
            if !batch.is_empty() {
                return batch;
            }
            self.filled.notified().await;
        }
    }

    fn take_batch(&self) -> Vec<Bytes> {
        let mut queue = self.lock();
        let mut batch = Vec::new();
        let mut bytes = 0_usize;
        while let Some(frame) = queue.frames.front() {
            bytes = bytes.saturating_add(frame.len());
            if bytes > BATCH_BYTES && !batch.is_empty() {
                break;
            }
            queue.bytes = queue.bytes.saturating_sub(frame.len());
            batch.extend(queue.frames.pop_front());
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(frames: usize, bytes: usize) -> Outbox {
        let limits = NetworkLimits { outbox_frames: frames, outbox_bytes: bytes, ..NetworkLimits::default() };
        Outbox::new(Lane::Payload, &limits)
    }

    #[tokio::test]
    async fn a_full_queue_refuses_by_frames_and_by_bytes_until_it_is_emptied() {
        let by_frames = outbox(2, 1000);
        assert_eq!(
            [(); 3].map(|()| by_frames.push(Bytes::from_static(b"x"))),
            [Ok(()), Ok(()), Err(SendError::Full)]
        );
        let by_bytes = outbox(100, 10);
        assert_eq!(by_bytes.push(Bytes::from(vec![0; 8])), Ok(()));
        assert_eq!(by_bytes.push(Bytes::from(vec![0; 8])), Err(SendError::Full));
        assert_eq!(by_bytes.next_batch().await.len(), 1);
        assert_eq!(by_bytes.push(Bytes::from(vec![0; 8])), Ok(()));
    }

    #[test]
    fn a_frame_above_the_lanes_limit_is_refused() {
        let limit = Lane::Payload.max_frame_bytes();
        let refused = outbox(10, usize::MAX).push(Bytes::from(vec![0; limit + 1]));
        assert_eq!(refused, Err(SendError::TooLarge { actual: limit + 1, limit }));
    }

    #[tokio::test]
    async fn batches_keep_the_order_and_stay_small() {
        let outbox = outbox(1000, usize::MAX);
        for size in [10, BATCH_BYTES, 20, 30] {
            outbox.push(Bytes::from(vec![0; size])).unwrap();
        }
        let sizes = |batch: Vec<Bytes>| batch.iter().map(Bytes::len).collect::<Vec<_>>();
        assert_eq!(sizes(outbox.next_batch().await), [10]);
        assert_eq!(sizes(outbox.next_batch().await), [BATCH_BYTES]);
        assert_eq!(sizes(outbox.next_batch().await), [20, 30]);
    }
}
