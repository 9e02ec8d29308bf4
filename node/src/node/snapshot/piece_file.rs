//! A file with one piece of a snapshot, each part of it with a checksum of its own.
//!
//! A part is [`PART_BYTES`] long, the last one shorter, and preceded by its hash. So a part can be read, checked and sent by
//! itself, and a node whose disk has changed a bit notices before its peers do, who would take it for a liar.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aegis_types::Hash;

use super::chunk::CHUNK_BYTES_MAX;
use super::question::PART_BYTES;

const HASH_BYTES: usize = 32;
const STRIDE: usize = HASH_BYTES + PART_BYTES;
const FILE_MODE: u32 = 0o600;
/// Largest file: the largest piece is a chunk. What came from elsewhere, in a backup say, may be of any size.
const FILE_BYTES_MAX: u64 = CHUNK_BYTES_MAX + CHUNK_BYTES_MAX / (PART_BYTES as u64) * (HASH_BYTES as u64);

fn checksum(part: &[u8]) -> Hash {
    Hash::of("aegis v1 snapshot part", part)
}

/// Writes a piece durably; a file of this name is replaced.
///
/// # Errors
/// Errors of the disk.
pub fn write(path: &Path, piece: &[u8]) -> io::Result<()> {
    // Two tasks may write the same piece at once.
    let unfinished = path.with_extension(format!("{:016x}.partial", rand::random::<u64>()));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(FILE_MODE).open(&unfinished)?;
    for part in piece.chunks(PART_BYTES) {
        file.write_all(&checksum(part).0)?;
        file.write_all(part)?;
    }
    file.sync_data()?;
    fs::rename(&unfinished, path)
}

/// Why a piece, or a part of one, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PieceError {
    /// It is not what was written.
    #[error("a snapshot's file is damaged: {0}")]
    Damaged(&'static str),
    /// The system refused; what is on disk may be right all the same.
    #[error("a snapshot's file cannot be read")]
    Disk(#[from] io::Error),
}

/// The part that begins at `offset`, which may be anything a peer sends: none where no part begins. A piece that ends with a
/// whole part, and an empty one, have an empty part at their end.
///
/// # Errors
/// See [`PieceError`].
pub fn read_part(path: &Path, offset: u64) -> Result<Option<Vec<u8>>, PieceError> {
    let (part_bytes, stride) = (PART_BYTES as u64, STRIDE as u64);
    if !offset.is_multiple_of(part_bytes) {
        return Ok(None);
    }
    let mut file = File::open(path)?;
    let start = (offset / part_bytes).saturating_mul(stride);
    // At the end, the last part was a whole one, or there is none.
    if start > file.metadata()?.len() {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(stride).read_to_end(&mut bytes)?;
    check_part(&bytes).map(|part| Some(part.to_vec()))
}

/// The whole piece.
///
/// # Errors
/// As for [`read_part`].
pub fn read(path: &Path) -> Result<Vec<u8>, PieceError> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(PieceError::Damaged("it is longer than any piece"));
    }
    let mut piece = Vec::with_capacity(bytes.len());
    for stored in bytes.chunks(STRIDE) {
        piece.extend_from_slice(check_part(stored)?);
    }
    Ok(piece)
}

fn check_part(stored: &[u8]) -> Result<&[u8], PieceError> {
    if stored.is_empty() {
        return Ok(stored);
    }
    let (sum, part) = stored.split_at_checked(HASH_BYTES).ok_or(PieceError::Damaged("it is cut"))?;
    if checksum(part).0 == sum { Ok(part) } else { Err(PieceError::Damaged("its checksum does not match")) }
}

/// Makes a folder's entries durable.
///
/// # Errors
/// Errors of the disk.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_longer_than_any_piece_is_not_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let Err(PieceError::Damaged(reason)) = read(&path) else { panic!("a terabyte was read") };
        assert!(reason.contains("longer"), "{reason}");
    }

    #[test]
    fn parts_are_read_one_by_one_and_a_changed_bit_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0");
        let piece: Vec<u8> = (0..PART_BYTES + 10).map(|number| number as u8).collect();
        write(&path, &piece).unwrap();
        assert_eq!(read(&path).unwrap(), piece);
        let parts = [0, PART_BYTES].map(|offset| read_part(&path, offset as u64).unwrap().unwrap());
        assert_eq!(parts.concat(), piece);

        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(read_part(&path, 0).is_ok());
        assert!(matches!(read_part(&path, PART_BYTES as u64), Err(PieceError::Damaged(_))));
        assert!(matches!(read(&path), Err(PieceError::Damaged(_))));
        let absent = folder.path().join("1");
        assert!(matches!(read_part(&absent, 0), Err(PieceError::Disk(_))), "that is no damage");
    }

    #[test]
    fn where_no_part_begins_there_is_nothing_and_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0");
        let part_bytes = PART_BYTES as u64;
        write(&path, &vec![1; PART_BYTES + 10]).unwrap();
        let last_start = u64::MAX / part_bytes * part_bytes;
        for offset in [1, part_bytes - 1, part_bytes + 1, 2 * part_bytes, 1 << 40, last_start, u64::MAX] {
            assert!(read_part(&path, offset).unwrap().is_none(), "{offset}");
        }
        write(&path, &vec![1; 2 * PART_BYTES]).unwrap();
        assert!(read_part(&path, 2 * part_bytes).unwrap().unwrap().is_empty(), "whole parts need an end");
        assert!(read_part(&path, 3 * part_bytes).unwrap().is_none());
    }

    #[test]
    fn an_empty_piece_is_a_piece() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0");
        write(&path, &[]).unwrap();
        assert!(read(&path).unwrap().is_empty());
        assert!(read_part(&path, 0).unwrap().unwrap().is_empty());
    }
}
