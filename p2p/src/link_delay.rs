//! Links that are slow on purpose: everything that a peer sends is held back for a while before it is read.
//!
//! For tests only: it lets nodes on one machine stand as far from each other as nodes in different parts of the world. Each
//! end delays what it receives, so a round trip takes the sum of both. Handshakes are not delayed; streams keep their order.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite};
use libp2p::PeerId;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent, SubstreamBox};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::ids::{NodeId, peer_id_of};

/// Bytes that one stream holds back at most; a stream that is full reads no further.
const WAITING_BYTES_MAX: usize = 8 << 20;
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 16 << 10;

/// How long what each peer sends is held back; peers that are not named are not delayed.
pub type LinkDelays = BTreeMap<NodeId, Duration>;

/// The delay of a peer's connections.
pub(crate) fn of_peer(delays: &LinkDelays, peer: &PeerId) -> Option<Duration> {
    delays.iter().find(|(node, _)| peer_id_of(node) == *peer).map(|(_, delay)| *delay)
}

/// A connection all of whose streams are delayed.
pub(crate) struct DelayedMuxer {
    inner: StreamMuxerBox,
    delay: Duration,
}

impl DelayedMuxer {
    pub(crate) fn new(inner: StreamMuxerBox, delay: Duration) -> Self {
        Self { inner, delay }
    }

    fn inner(self: Pin<&mut Self>) -> Pin<&mut StreamMuxerBox> {
        Pin::new(&mut self.get_mut().inner)
    }
}

impl StreamMuxer for DelayedMuxer {
    type Substream = DelayedStream;
    type Error = io::Error;

    fn poll_inbound(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<DelayedStream, io::Error>> {
        let delay = self.delay;
        self.inner().poll_inbound(cx).map_ok(|stream| DelayedStream::new(stream, delay))
    }

    fn poll_outbound(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<DelayedStream, io::Error>> {
        let delay = self.delay;
        self.inner().poll_outbound(cx).map_ok(|stream| DelayedStream::new(stream, delay))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        self.inner().poll_close(cx)
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, io::Error>> {
        self.inner().poll(cx)
    }
}

/// What arrived on a stream.
enum Arrival {
    Bytes(Vec<u8>),
    End,
    Failure(io::Error),
}

/// A stream whose bytes are read some time after they have arrived. What is written goes at once.
pub(crate) struct DelayedStream {
    inner: SubstreamBox,
    delay: Duration,
    waiting: VecDeque<(Instant, Arrival)>,
    waiting_bytes: usize,
    /// Whether the inner stream has nothing more to give.
    is_over: bool,
    timer: Pin<Box<Sleep>>,
}

impl DelayedStream {
    fn new(inner: SubstreamBox, delay: Duration) -> Self {
        Self {
            inner,
            delay,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            is_over: false,
            timer: Box::pin(sleep_until(Instant::now())),
        }
    }

    /// Takes in what has arrived, and notes when.
    fn take_in(&mut self, cx: &mut Context<'_>) {
        let mut chunk = [0; CHUNK_BYTES];
        while !self.is_over && self.waiting_bytes < WAITING_BYTES_MAX {
            let Poll::Ready(outcome) = Pin::new(&mut self.inner).poll_read(cx, &mut chunk) else { return };
            let arrival = match outcome {
                Ok(0) => Arrival::End,
                Ok(count) => Arrival::Bytes(chunk.get(..count).unwrap_or_default().to_vec()),
                Err(error) => Arrival::Failure(error),
            };
            match &arrival {
                Arrival::Bytes(bytes) => self.waiting_bytes += bytes.len(),
                Arrival::End | Arrival::Failure(_) => self.is_over = true,
            }
            self.waiting.push_back((Instant::now() + self.delay, arrival));
        }
    }

    /// Gives what is due.
    fn give(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.waiting.pop_front() {
            Some((due, Arrival::Bytes(mut bytes))) => {
                let count = bytes.len().min(buffer.len());
                let rest = bytes.split_off(count);
                if let Some(head) = buffer.get_mut(..count) {
                    head.copy_from_slice(&bytes);
                }
                self.waiting_bytes -= count;
                if !rest.is_empty() {
                    self.waiting.push_front((due, Arrival::Bytes(rest)));
                }
                Ok(count)
            }
            Some((_, Arrival::Failure(error))) => Err(error),
            Some((_, Arrival::End)) | None => Ok(0),
        }
    }
}

impl AsyncRead for DelayedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.take_in(cx);
        match this.waiting.front() {
            Some((due, _)) => {
                this.timer.as_mut().reset(*due);
                ready!(this.timer.as_mut().poll(cx));
                Poll::Ready(this.give(buffer))
            }
            None if this.is_over => Poll::Ready(Ok(0)),
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for DelayedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_close(cx)
    }
}
