//! Keeping the two outgoing lanes to one direct peer open.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::Control;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::backoff::Backoff;
use crate::config::NetworkLimits;
use crate::event::NetworkEvent;
use crate::ids::NodeId;
use crate::inbox::Inbox;
use crate::incoming::WELCOME;
use crate::lane::Lane;
use crate::outbox::Outbox;
use crate::shared::{Lanes, LanesGuard, Shared};
use crate::tor::Pace;

/// First and longest delay before lanes are opened again. A peer that does not know us as a direct peer yet drops our
/// streams; when it learns of us, its own stream to us makes us try at once.
const REOPEN_DELAY: Duration = Duration::from_millis(50);
const REOPEN_DELAY_MAX: Duration = Duration::from_secs(5);

/// Lanes that lasted this long were good; the next delay is short again.
const GOOD_AFTER: Duration = Duration::from_secs(2);

/// Frames up to this size are copied together into one write; larger ones are written from where they are.
const COPY_MAX_BYTES: usize = 64 << 10;

/// A direct peer as seen by the task that writes to it.
pub(crate) struct Outgoing {
    pub(crate) node: NodeId,
    pub(crate) peer: PeerId,
    pub(crate) control: Control,
    pub(crate) protocols: [(Lane, StreamProtocol); 2],
    pub(crate) is_connected: watch::Receiver<bool>,
    pub(crate) nudge: Arc<Notify>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) limits: NetworkLimits,
    pub(crate) pace: Pace,
}

impl Outgoing {
    /// Opens the lanes whenever the peer is connected, and writes to them; ends when the peer is no direct peer any more.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::new(REOPEN_DELAY, REOPEN_DELAY_MAX);
        loop {
            if self.is_connected.wait_for(|is_connected| *is_connected).await.is_err() {
                return;
            }
            let opened_at = Instant::now();
            match timeout(self.pace.open, self.open()).await {
                Ok(Ok(streams)) => {
                    let reason = self.carry(streams).await;
                    tracing::debug!(peer = %self.node.short(), %reason, "direct streams closed");
                }
                Ok(Err(reason)) => {
                    tracing::debug!(peer = %self.node.short(), %reason, "direct streams not opened")
                }
                Err(_) => tracing::debug!(peer = %self.node.short(), "direct streams not opened in time"),
            }
            if opened_at.elapsed() >= GOOD_AFTER {
                backoff.reset();
            }
            tokio::select! {
                () = sleep(backoff.next_delay()) => {}
                () = self.nudge.notified() => {}
            }
        }
    }

    async fn open(&mut self) -> io::Result<[Stream; 2]> {
        let [first, second] = &self.protocols;
        let first = open_lane(&mut self.control, self.peer, first.1.clone()).await?;
        let second = open_lane(&mut self.control, self.peer, second.1.clone()).await?;
        Ok([first, second])
    }

    /// Writes to both lanes until one of them fails; says why it did.
    async fn carry(&mut self, streams: [Stream; 2]) -> io::Error {
        let [(first_lane, _), (second_lane, _)] = self.protocols;
        let first = Arc::new(Outbox::new(first_lane, &self.limits));
        let second = Arc::new(Outbox::new(second_lane, &self.limits));
        let lanes = Lanes { consensus: Arc::clone(&first), payload: Arc::clone(&second) };
        let _guard = LanesGuard::publish(Arc::clone(&self.shared), self.node, lanes);
        self.inbox.push_connection(NetworkEvent::DirectReady { peer: self.node });
        let [first_stream, second_stream] = streams;
        let gone = async {
            let _ = self.is_connected.wait_for(|is_connected| !*is_connected).await;
        };
        tokio::select! {
            reason = write_lane(first_stream, &first) => reason,
            reason = write_lane(second_stream, &second) => reason,
            () = gone => io::ErrorKind::NotConnected.into(),
        }
    }
}

async fn open_lane(control: &mut Control, peer: PeerId, protocol: StreamProtocol) -> io::Result<Stream> {
    let mut stream = control.open_stream(peer, protocol).await.map_err(io::Error::other)?;
    let mut answer = [0];
    stream.read_exact(&mut answer).await?;
    if answer == [WELCOME] { Ok(stream) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Writes what the outbox gives until the stream fails or the peer closes it.
async fn write_lane(stream: Stream, outbox: &Outbox) -> io::Error {
    let (mut reader, mut writer) = stream.split();
    let mut byte = [0];
    // The peer says nothing after its welcome, so the first thing to read is the end of the stream.
    let closed = std::pin::pin!(async move { reader.read(&mut byte).await });
    let written = std::pin::pin!(async {
        loop {
            let batch = outbox.next_batch().await;
            if let Err(error) = write_batch(&mut writer, &batch).await {
                return error;
            }
        }
    });
    match select(closed, written).await {
        Either::Left((Ok(0), _)) => io::ErrorKind::ConnectionReset.into(),
        Either::Left((Ok(_), _)) => io::ErrorKind::InvalidData.into(),
        Either::Left((Err(error), _)) | Either::Right((error, _)) => error,
    }
}

async fn write_batch<W: futures::AsyncWrite + Unpin>(writer: &mut W, batch: &[Bytes]) -> io::Result<()> {
    let mut joined = Vec::new();
    for frame in batch {
        let size = u32::try_from(frame.len()).map_err(io::Error::other)?;
        joined.extend_from_slice(&size.to_be_bytes());
        if frame.len() <= COPY_MAX_BYTES {
            joined.extend_from_slice(frame);
        } else {
            writer.write_all(&joined).await?;
            joined.clear();
            writer.write_all(frame).await?;
        }
    }
    writer.write_all(&joined).await?;
    writer.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_small_and_large_come_out_whole_and_in_order() {
        let batch = [Bytes::from_static(b"a"), Bytes::from(vec![7; COPY_MAX_BYTES + 1]), Bytes::new()];
        let mut written = futures::io::Cursor::new(Vec::new());
        write_batch(&mut written, &batch).await.unwrap();
        let mut reader = futures::io::Cursor::new(written.into_inner());
        for frame in &batch {
            let size = crate::framing::read_size(&mut reader).await.unwrap();
            assert_eq!(crate::framing::read_body(&mut reader, size).await.unwrap(), frame);
        }
        assert!(crate::framing::read_size(&mut reader).await.is_err());
    }
}
