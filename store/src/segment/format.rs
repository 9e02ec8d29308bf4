//! The bytes of segment and record headers.

use crc32fast::Hasher;

use crate::error::Part;

/// The version of the segment format that this program writes, and the newest it reads.
pub const VERSION: u32 = 1;

/// Bytes that one record may carry. Far above the largest block; bounds what a reader allocates.
pub const RECORD_BYTES_MAX: u64 = 64 << 20;

pub(crate) const SEGMENT_HEADER_BYTES: usize = 64;
pub(crate) const RECORD_HEADER_BYTES: usize = 32;
/// Starts every record; not valid UTF-8, so rare in text.
pub(crate) const RECORD_MAGIC: [u8; 4] = [0xA3, 0x67, 0xC5, 0xF1];

const SEGMENT_MAGIC: [u8; 8] = *b"AEGISSEG";
const FLAG_CHECKPOINT: u32 = 1;
/// Stands for "no segment before this one".
const NO_SEGMENT: u64 = u64::MAX;

/// What the header of a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub part: Part,
    /// The number of the first record.
    pub first: u64,
    /// The first record of the segment before, if there was one when this was made.
    pub previous: Option<u64>,
    pub nonce: u64,
    /// How many records were made durable together with the header.
    pub founding: u64,
    /// Whether the founding records replace all that was recorded before.
    pub checkpoint: bool,
}

/// Why bytes are no usable segment header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// Not the bytes that were written.
    Damaged,
    /// Written by a newer version of the program.
    Newer(u32),
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let mut fields = Writer(&mut bytes);
        fields.put(&SEGMENT_MAGIC);
        fields.put(&VERSION.to_le_bytes());
        fields.put(&part_code(self.part).to_le_bytes());
        fields.put(&self.first.to_le_bytes());
        fields.put(&self.previous.unwrap_or(NO_SEGMENT).to_le_bytes());
        fields.put(&self.nonce.to_le_bytes());
        fields.put(&self.founding.to_le_bytes());
        fields.put(&if self.checkpoint { FLAG_CHECKPOINT } else { 0 }.to_le_bytes());
        let (covered, crc) = bytes.split_at_mut(SEGMENT_HEADER_BYTES - 4);
        crc.copy_from_slice(&crc32fast::hash(covered).to_le_bytes());
        bytes
    }

    /// Reads a header of `part`. The bytes are not trusted.
    pub fn decode(bytes: &[u8], part: Part) -> Result<Self, HeaderFault> {
        let (covered, crc) = bytes.split_last_chunk::<4>().ok_or(HeaderFault::Damaged)?;
        if bytes.len() != SEGMENT_HEADER_BYTES || crc32fast::hash(covered) != u32::from_le_bytes(*crc) {
            return Err(HeaderFault::Damaged);
        }
        Self::decode_fields(covered, part).unwrap_or(Err(HeaderFault::Damaged))
    }

    /// `None` when the bytes end too early.
    fn decode_fields(covered: &[u8], part: Part) -> Option<Result<Self, HeaderFault>> {
        let mut fields = Reader(covered);
        if fields.take::<8>()? != SEGMENT_MAGIC {
            return Some(Err(HeaderFault::Damaged));
        }
        let version = fields.u32()?;
        if version > VERSION {
            return Some(Err(HeaderFault::Newer(version)));
        }
        if version != VERSION || fields.u32()? != part_code(part) {
            return Some(Err(HeaderFault::Damaged));
        }
        let first = fields.u64()?;
        let previous = Some(fields.u64()?).filter(|&previous| previous != NO_SEGMENT);
        let nonce = fields.u64()?;
        let founding = fields.u64()?;
        let checkpoint = fields.u32()? & FLAG_CHECKPOINT != 0;
        Some(Ok(Self { part, first, previous, nonce, founding, checkpoint }))
    }
}

/// What the header of a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// Bytes of the payload, at most [`RECORD_BYTES_MAX`].
    pub len: u32,
    pub seq: u64,
    /// The first record of the write that this one was part of.
    pub write: u64,
    pub payload_crc: u32,
}

impl RecordHeader {
    pub fn encode(&self, nonce: u64) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        let mut fields = Writer(&mut bytes);
        fields.put(&RECORD_MAGIC);
        fields.put(&self.len.to_le_bytes());
        fields.put(&self.seq.to_le_bytes());
        fields.put(&self.write.to_le_bytes());
        fields.put(&self.payload_crc.to_le_bytes());
        let (covered, crc) = bytes.split_at_mut(RECORD_HEADER_BYTES - 4);
        crc.copy_from_slice(&salted_crc(nonce, &[covered]).to_le_bytes());
        bytes
    }

    /// Reads a header; `None` when the bytes are none of this segment. They are not trusted.
    pub fn decode(bytes: &[u8], nonce: u64) -> Option<Self> {
        let (covered, crc) = bytes.split_last_chunk::<4>()?;
        let mut fields = Reader(covered);
        if bytes.len() != RECORD_HEADER_BYTES || fields.take::<4>()? != RECORD_MAGIC {
            return None;
        }
        if salted_crc(nonce, &[covered]) != u32::from_le_bytes(*crc) {
            return None;
        }
        let header =
            Self { len: fields.u32()?, seq: fields.u64()?, write: fields.u64()?, payload_crc: fields.u32()? };
        (u64::from(header.len) <= RECORD_BYTES_MAX && header.write <= header.seq).then_some(header)
    }

    /// Bytes of header and payload together.
    pub fn record_bytes(&self) -> u64 {
        RECORD_HEADER_BYTES as u64 + u64::from(self.len)
    }
}

/// The checksum of a record's payload in the segment of `nonce`.
pub(crate) fn payload_crc(nonce: u64, seq: u64, payload: &[u8]) -> u32 {
    salted_crc(nonce, &[&seq.to_le_bytes(), payload])
}

fn salted_crc(nonce: u64, pieces: &[&[u8]]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&nonce.to_le_bytes());
    for piece in pieces {
        hasher.update(piece);
    }
    hasher.finalize()
}

fn part_code(part: Part) -> u32 {
    match part {
        Part::Journal => 1,
        Part::CommittedLog => 2,
        Part::Folder | Part::Kv => 0,
    }
}

/// Fills a buffer from its start. What does not fit is left out, which the golden bytes below would show.
struct Writer<'a>(&'a mut [u8]);

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let rest = std::mem::take(&mut self.0);
        if let Some((head, tail)) = rest.split_at_mut_checked(bytes.len()) {
            head.copy_from_slice(bytes);
            self.0 = tail;
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: SegmentHeader = SegmentHeader {
        part: Part::Journal,
        first: 0x0102,
        previous: Some(0x0A),
        nonce: 0xDEAD_BEEF,
        founding: 3,
        checkpoint: true,
    };
    const RECORD: RecordHeader = RecordHeader { len: 5, seq: 9, write: 7, payload_crc: 0x1234_5678 };

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_bytes_of_both_headers_are_pinned() {
        assert_eq!(
            hex(&SEGMENT.encode()[..60]),
            "41454749535345470100000001000000020100000000000\
             00a00000000000000efbeadde0000000003000000000000000100000000000000"
                .to_owned()
                + "00000000"
        );
        assert_eq!(hex(&RECORD.encode(1)[..28]), "a367c5f1050000000900000000000000070000000000000078563412");
    }

    #[test]
    fn headers_read_back_what_was_written() {
        assert_eq!(SegmentHeader::decode(&SEGMENT.encode(), Part::Journal), Ok(SEGMENT));
        let alone = SegmentHeader { previous: None, checkpoint: false, ..SEGMENT };
        assert_eq!(SegmentHeader::decode(&alone.encode(), Part::Journal), Ok(alone));
        assert_eq!(RecordHeader::decode(&RECORD.encode(4), 4), Some(RECORD));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        for bit in 0..SEGMENT_HEADER_BYTES * 8 {
            let mut bytes = SEGMENT.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bytes, Part::Journal), Err(HeaderFault::Damaged), "bit {bit}");
        }
        for bit in 0..RECORD_HEADER_BYTES * 8 {
            let mut bytes = RECORD.encode(4);
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&bytes, 4), None, "bit {bit}");
        }
    }

    #[test]
    fn a_header_of_another_part_or_segment_does_not_count() {
        assert_eq!(SegmentHeader::decode(&SEGMENT.encode(), Part::CommittedLog), Err(HeaderFault::Damaged));
        assert_eq!(RecordHeader::decode(&RECORD.encode(4), 5), None);
        assert_ne!(payload_crc(4, 1, b"x"), payload_crc(5, 1, b"x"));
        assert_ne!(payload_crc(4, 1, b"x"), payload_crc(4, 2, b"x"));
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut bytes = SEGMENT.encode();
        bytes[8] = 9;
        let crc = crc32fast::hash(&bytes[..60]).to_le_bytes();
        bytes[60..].copy_from_slice(&crc);
        assert_eq!(SegmentHeader::decode(&bytes, Part::Journal), Err(HeaderFault::Newer(9)));
    }
}
