//! How a value is laid out in sled: with a checksum, and in pieces when it is large.
//!
//! ```text
//! table tree   key -> 0u8 | crc32 | value                      up to PIECE_BYTES
//!              key -> 1u8 | crc32 | length of the value u32    larger; then
//! pieces tree  table u8 | length of key u32 (big-endian) | key | number of the piece u32 (big-endian) -> piece
//! ```
//! Sled writes large nodes into files of their own and never syncs those, so no entry may be large. The checksum covers
//! table, key and value: sled has been seen to lose and to garble entries without an error.

use crc32fast::Hasher;

use super::limits::VALUE_BYTES_MAX;
use super::store::Table;

/// Bytes of a value that one entry carries.
pub(super) const PIECE_BYTES: usize = 3 << 10;

const WHOLE: u8 = 0;
const PIECES: u8 = 1;

/// What an entry of a table tree says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Head<'a> {
    Whole { crc: u32, value: &'a [u8] },
    Pieces { crc: u32, len: u32 },
}

impl<'a> Head<'a> {
    /// Reads an entry; `None` when it is none. The bytes are not trusted.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (&kind, rest) = bytes.split_first()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        let crc = u32::from_le_bytes(*crc);
        match kind {
            WHOLE => Some(Head::Whole { crc, value: rest }),
            PIECES => {
                let len = u32::from_le_bytes(rest.try_into().ok()?);
                (u64::from(len) <= VALUE_BYTES_MAX).then_some(Head::Pieces { crc, len })
            }
            _ => None,
        }
    }

    /// How many entries of the pieces tree belong to this one.
    pub fn pieces(&self) -> u32 {
        match self {
            Head::Whole { .. } => 0,
            Head::Pieces { len, .. } => len.div_ceil(PIECE_BYTES as u32),
        }
    }
}

/// The entry of a value in its table tree.
pub(super) fn encode_head(table: Table, key: &[u8], value: &[u8]) -> Vec<u8> {
    let crc = value_crc(table, key, value).to_le_bytes();
    if value.len() <= PIECE_BYTES {
        [&[WHOLE], &crc[..], value].concat()
    } else {
        let len = u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes();
        [&[PIECES], &crc[..], &len].concat()
    }
}

/// The pieces of a value; none when it fits its head.
pub(super) fn pieces(value: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let cut = if value.len() <= PIECE_BYTES { &[] } else { value };
    (0..).zip(cut.chunks(PIECE_BYTES))
}

/// The key of a piece.
pub(super) fn piece_key(table: Table, key: &[u8], number: u32) -> Vec<u8> {
    let len = u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[table_code(table)], &len[..], key, &number.to_be_bytes()].concat()
}

/// The checksum of a value under its key.
pub(super) fn value_crc(table: Table, key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&[table_code(table)]);
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

fn table_code(table: Table) -> u8 {
    match table {
        Table::State => 1,
        Table::Index => 2,
        Table::Meta => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_whole_up_to_the_piece_size_and_in_pieces_above() {
        let value = vec![7; PIECE_BYTES];
        let entry = encode_head(Table::State, b"k", &value);
        let crc = value_crc(Table::State, b"k", &value);
        assert_eq!(Head::decode(&entry), Some(Head::Whole { crc, value: &value }));
        assert_eq!(pieces(&value).count(), 0);

        let value = vec![7; PIECE_BYTES + 1];
        let entry = encode_head(Table::State, b"k", &value);
        let head = Head::decode(&entry).expect("a head");
        assert_eq!(head.pieces(), 2);
        let sizes: Vec<_> = pieces(&value).map(|(number, piece)| (number, piece.len())).collect();
        assert_eq!(sizes, [(0, PIECE_BYTES), (1, 1)]);
    }

    #[test]
    fn pieces_of_different_keys_never_share_an_entry() {
        assert_ne!(piece_key(Table::State, b"k\0\0\0\x01", 0), piece_key(Table::State, b"k", 1));
        assert_ne!(piece_key(Table::State, b"k", 1), piece_key(Table::Index, b"k", 1));
    }

    #[test]
    fn bytes_that_are_no_head_are_refused() {
        let too_long = [&[PIECES, 0, 0, 0, 0][..], &u32::MAX.to_le_bytes()].concat();
        for bytes in [&[][..], &[0], &[9, 0, 0, 0, 0], &[PIECES, 0, 0, 0, 0, 1], &too_long] {
            assert_eq!(Head::decode(bytes), None, "{bytes:?}");
        }
    }
}
