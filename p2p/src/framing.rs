//! How messages stand on a stream of bytes: a length of four bytes, big-endian, and as many bytes.
//!
//! Memory grows with what has arrived and not with what is announced.

use std::io;

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes reserved for a message before any of it has come: a length alone must not make us allocate much.
const FIRST_RESERVE_BYTES: usize = 64 << 10;

/// A message whose announced size is above the limit.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a message of {actual} bytes was announced, at most {limit} are allowed")]
pub(crate) struct Oversized {
    pub(crate) actual: usize,
    pub(crate) limit: usize,
}

impl Oversized {
    /// Finds out whether an error of a stream was this.
    pub(crate) fn in_error(error: &io::Error) -> Option<Self> {
        error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()).copied()
    }
}

/// Reads a message of at most `limit` bytes.
///
/// # Errors
/// [`Oversized`] within an error of the stream; `UnexpectedEof` when the stream ends before the message does.
pub(crate) async fn read_message<R: AsyncRead + Unpin>(reader: &mut R, limit: usize) -> io::Result<Bytes> {
    let actual = read_size(reader).await?;
    if actual > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, Oversized { actual, limit }));
    }
    read_body(reader, actual).await
}

/// Reads a length prefix.
///
/// # Errors
/// Those of the stream.
pub(crate) async fn read_size<R: AsyncRead + Unpin>(reader: &mut R) -> io::Result<usize> {
    let mut prefix = [0; 4];
    reader.read_exact(&mut prefix).await?;
    usize::try_from(u32::from_be_bytes(prefix)).map_err(io::Error::other)
}

/// Reads `size` bytes, which the caller has found acceptable.
///
/// # Errors
/// `UnexpectedEof` when there are fewer, and those of the stream.
pub(crate) async fn read_body<R: AsyncRead + Unpin>(reader: &mut R, size: usize) -> io::Result<Bytes> {
    let mut body = Vec::with_capacity(size.min(FIRST_RESERVE_BYTES));
    let limit = u64::try_from(size).map_err(io::Error::other)?;
    reader.take(limit).read_to_end(&mut body).await?;
    if body.len() == size { Ok(Bytes::from(body)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Writes a message.
///
/// # Errors
/// Those of the stream, and for a message whose length four bytes cannot hold.
pub(crate) async fn write_message<W: AsyncWrite + Unpin>(writer: &mut W, message: &[u8]) -> io::Result<()> {
    let size = u32::try_from(message.len()).map_err(io::Error::other)?;
    writer.write_all(&size.to_be_bytes()).await?;
    writer.write_all(message).await?;
    writer.flush().await
}
