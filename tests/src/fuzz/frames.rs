//! Messages on a stream of bytes, as `aegis_p2p` reads them. The first byte sets the limit, the others are the stream.
//!
//! The source file is compiled in here: the crate around it brings a whole network stack, and shows none of this.

use bytes::Bytes;
use futures::executor::block_on;
use futures::io::Cursor;

use super::memory;

#[allow(dead_code, reason = "the network uses all of it")]
#[path = "../../../p2p/src/framing.rs"]
mod framing;

use framing::{Oversized, read_message, write_message};

/// Reads messages until the stream ends or breaks off. They are those that a plain reading of the format gives, and what is
/// read and written again is the same stream.
///
/// # Panics
/// When that does not hold, or an announced length alone takes memory.
pub fn run(input: &[u8]) {
    let Some((limit, stream)) = input.split_first() else { return };
    let limit = usize::from(*limit) * 64;
    let (messages, is_oversized) = memory::bounded(stream.len(), || block_on(read_all(stream, limit)));
    let (expected, expected_oversized) = plain_reading(stream, limit);
    assert_eq!(messages, expected);
    assert_eq!(is_oversized, expected_oversized);
    let mut written = Cursor::new(Vec::new());
    block_on(async {
        for message in &messages {
            write_message(&mut written, message).await.expect("a vector takes everything");
        }
    });
    assert!(stream.starts_with(&written.into_inner()));
}

async fn read_all(stream: &[u8], limit: usize) -> (Vec<Bytes>, bool) {
    let mut reader = Cursor::new(stream);
    let mut messages = Vec::new();
    loop {
        match read_message(&mut reader, limit).await {
            Ok(message) => messages.push(message),
            Err(error) => return (messages, Oversized::in_error(&error).is_some()),
        }
    }
}

fn plain_reading(mut stream: &[u8], limit: usize) -> (Vec<Bytes>, bool) {
    let mut messages = Vec::new();
    while let Some((prefix, rest)) = stream.split_first_chunk::<4>() {
        let size = u32::from_be_bytes(*prefix) as usize;
        if size > limit {
            return (messages, true);
        }
        let Some((body, rest)) = rest.split_at_checked(size) else { break };
        messages.push(Bytes::copy_from_slice(body));
        stream = rest;
    }
    (messages, false)
}

/// Whole, cut and oversized messages.
pub fn seeds() -> Vec<Vec<u8>> {
    [
        &b"\x01\0\0\0\x02hi\0\0\0\0\0\0\0\x01!"[..],
        b"\x01\0\0\0\x02hi\0\0\0\x05cut",
        b"\xff\0\0\0\x02hi\xff\xff\xff\xffgarbage",
        b"\0\0\0\0\0\0\0\0\x01",
        b"\xff\0\0\x3f\xc0",
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}
