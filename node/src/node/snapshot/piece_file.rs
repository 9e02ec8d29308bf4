//! A file with one piece of a snapshot, each part of it with a checksum of its own.
//!
//! A part is [`PART_BYTES`] long, the last one shorter, and preceded by its hash. So a part can be read, checked and sent by
//! itself, and a node whose disk has changed a bit notices before its peers do, who would take it for a liar.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aegis_types::Hash;

use super::question::PART_BYTES;

const HASH_BYTES: usize = 32;
const STRIDE: usize = HASH_BYTES + PART_BYTES;
const FILE_MODE: u32 = 0o600;

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

/// The part that begins at `offset`, which must be a multiple of [`PART_BYTES`]; empty at the piece's end.
///
/// # Errors
/// `InvalidData` when the part is not what was written or the offset is no part's; errors of the disk.
pub fn read_part(path: &Path, offset: u64) -> io::Result<Vec<u8>> {
    let part_bytes = PART_BYTES as u64;
    if !offset.is_multiple_of(part_bytes) {
        return Err(damaged("no part begins there"));
    }
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start((offset / part_bytes).saturating_mul(STRIDE as u64)))?;
    let mut bytes = Vec::new();
    file.take(STRIDE as u64).read_to_end(&mut bytes)?;
    check_part(&bytes).map(<[u8]>::to_vec)
}

/// The whole piece.
///
/// # Errors
/// As for [`read_part`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = fs::read(path)?;
    let mut piece = Vec::with_capacity(bytes.len());
    for stored in bytes.chunks(STRIDE) {
        piece.extend_from_slice(check_part(stored)?);
    }
    Ok(piece)
}

fn check_part(stored: &[u8]) -> io::Result<&[u8]> {
    if stored.is_empty() {
        return Ok(stored);
    }
    let (sum, part) = stored.split_at_checked(HASH_BYTES).ok_or_else(|| damaged("it is cut"))?;
    if checksum(part).0 == sum { Ok(part) } else { Err(damaged("its checksum does not match")) }
}

fn damaged(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a snapshot's file is damaged: {reason}"))
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
    fn parts_are_read_one_by_one_and_a_changed_bit_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0");
        let piece: Vec<u8> = (0..PART_BYTES + 10).map(|number| number as u8).collect();
        write(&path, &piece).unwrap();
        assert_eq!(read(&path).unwrap(), piece);
        let parts = [0, PART_BYTES].map(|offset| read_part(&path, offset as u64).unwrap());
        assert_eq!(parts.concat(), piece);
        assert!(read_part(&path, 2 * PART_BYTES as u64).unwrap().is_empty());
        assert!(read_part(&path, 1).is_err());

        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(read_part(&path, 0).is_ok());
        assert_eq!(read_part(&path, PART_BYTES as u64).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(read(&path).is_err());
    }

    #[test]
    fn an_empty_piece_is_a_piece() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0");
        write(&path, &[]).unwrap();
        assert!(read(&path).unwrap().is_empty());
        assert!(read_part(&path, 0).unwrap().is_empty());
    }
}
