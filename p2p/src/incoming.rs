//! Reading one lane of one direct peer.
//!
//! A stream starts with one byte from the reader, which tells the writer that its frames are wanted. Then come frames: a
//! length of four bytes, big-endian, and as many bytes.

use std::io;

use futures::io::BufReader;
use futures::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::framing::{read_body, read_size};
use crate::ids::NodeId;
use crate::inbox::Inbox;
use crate::lane::Lane;

/// What the reader of a lane says first. A stranger's stream is dropped without it.
pub(crate) const WELCOME: u8 = 1;

/// Bytes read at once: many small frames per call to the transport.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// Why reading ended.
#[derive(Debug)]
pub(crate) enum ReadEnd {
    /// The stream or the consumer is gone.
    Closed,
    /// The peer announced a frame larger than the lane takes.
    Oversized {
        /// What it announced, in bytes.
        actual: usize,
        /// What is allowed, in bytes.
        limit: usize,
    },
}

/// Reads frames into the inbox until the stream ends or misbehaves.
pub(crate) async fn read_frames<S>(from: NodeId, lane: Lane, mut stream: S, inbox: &Inbox) -> ReadEnd
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if welcome(&mut stream).await.is_err() {
        return ReadEnd::Closed;
    }
    let mut reader = BufReader::with_capacity(READ_BUFFER_BYTES, stream);
    loop {
        let Ok(size) = read_size(&mut reader).await else { return ReadEnd::Closed };
        let limit = lane.max_frame_bytes();
        if size > limit {
            return ReadEnd::Oversized { actual: size, limit };
        }
        let Some(reserved) = inbox.reserve(from, lane, size).await else { return ReadEnd::Closed };
        let Ok(frame) = read_body(&mut reader, size).await else { return ReadEnd::Closed };
        inbox.deliver(reserved, frame);
    }
}

async fn welcome<S: AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.write_all(&[WELCOME]).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::io::Cursor;

    use super::*;
    use crate::config::NetworkLimits;
    use crate::event::NetworkEvent;
    use crate::inbox::Taken;

    /// A stream that gives what was put in and swallows what is written.
    struct OneWay(Cursor<Vec<u8>>);

    impl AsyncRead for OneWay {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            buffer: &mut [u8],
        ) -> std::task::Poll<io::Result<usize>> {
            std::pin::Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }

    impl AsyncWrite for OneWay {
        fn poll_write(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            bytes: &[u8],
        ) -> std::task::Poll<io::Result<usize>> {
            std::task::Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn poll_close(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
    }

    async fn read(bytes: &[u8]) -> (ReadEnd, Vec<Bytes>) {
        let inbox = Inbox::new(&NetworkLimits::default());
        let from = aegis_types::ValidatorId([1; 32]);
        let end = read_frames(from, Lane::Payload, OneWay(Cursor::new(bytes.to_vec())), &inbox).await;
        let mut frames = Vec::new();
        while let Taken::Event(NetworkEvent::Message { frame, .. }) = inbox.take() {
            frames.push(frame);
        }
        (end, frames)
    }

    #[tokio::test]
    async fn whole_frames_are_delivered_and_a_cut_one_is_not() {
        let (end, frames) = read(b"\0\0\0\x02hi\0\0\0\0\0\0\0\x05cut").await;
        assert!(matches!(end, ReadEnd::Closed));
        assert_eq!(frames, ["hi", ""]);
    }

    #[tokio::test]
    async fn an_oversized_length_ends_the_stream() {
        let (end, frames) = read(b"\0\0\0\x02hi\xff\xff\xff\xffgarbage").await;
        assert!(matches!(end, ReadEnd::Oversized { actual: 0xffff_ffff, .. }));
        assert_eq!(frames, ["hi"]);
    }
}
