//! A look at the entries of an encoding before it is decoded.
//!
//! A protobuf decoder makes room for a whole message per entry of a repeated field, while an empty entry takes two bytes:
//! eight hostile megabytes would become half a gigabyte before any list's length could be checked. So types whose limit
//! admits that many entries count them on the encoding, which takes no memory.

use crate::canonical::{Canonical, check_size};
use crate::error::TypesError;

/// What an encoding may hold of one field.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    field: u64,
    list: &'static str,
    entries_max: usize,
    entry: &'static str,
    entry_bytes_max: usize,
    check_entry: fn(&[u8]) -> Result<(), TypesError>,
}

impl Quota {
    /// At most `entries_max` values of type `T` in a field; `list` is what to call them together in errors.
    pub const fn of<T: Canonical>(field: u64, list: &'static str, entries_max: usize) -> Self {
        Self {
            field,
            list,
            entries_max,
            entry: T::NAME,
            entry_bytes_max: T::MAX_BYTES,
            check_entry: T::check_encoding,
        }
    }

    /// At most one message in a field, of at most `bytes_max` bytes and checked by `check`.
    pub const fn one(
        field: u64,
        name: &'static str,
        bytes_max: usize,
        check: fn(&[u8]) -> Result<(), TypesError>,
    ) -> Self {
        Self {
            field,
            list: name,
            entries_max: 1,
            entry: name,
            entry_bytes_max: bytes_max,
            check_entry: check,
        }
    }

    /// The same for at most `entries_max` messages.
    #[must_use]
    pub const fn up_to(self, entries_max: usize) -> Self {
        Self { entries_max, ..self }
    }
}

/// Checks number, size and entries of each field that has a quota; all other fields are left to the decoder.
///
/// # Errors
/// `TooMany` or `TooLarge` for what exceeds its quota, `Undecodable` or `NotCanonical` for what is no message.
pub fn check_entries<const N: usize>(
    what: &'static str,
    bytes: &[u8],
    quotas: [Quota; N],
) -> Result<(), TypesError> {
    let mut counted = quotas.map(|quota| (quota, 0_usize));
    let mut rest = bytes;
    while !rest.is_empty() {
        let (field, content) = next_field(what, &mut rest)?;
        for (quota, count) in counted.iter_mut().filter(|(quota, _)| quota.field == field) {
            *count = count.saturating_add(1);
            check_size(quota.entry, quota.entry_bytes_max, content)?;
            (quota.check_entry)(content)?;
        }
    }
    match counted.into_iter().find(|(quota, count)| *count > quota.entries_max) {
        Some((Quota { list, entries_max, .. }, actual)) => {
            Err(TypesError::TooMany { what: list, actual, limit: entries_max })
        }
        None => Ok(()),
    }
}

/// Takes the next field off `rest`: its number, and its content, which is empty for a number.
fn next_field<'a>(what: &'static str, rest: &mut &'a [u8]) -> Result<(u64, &'a [u8]), TypesError> {
    let key = next_varint(what, rest)?;
    let field = key >> 3;
    match key & 7 {
        0 => next_varint(what, rest).map(|_| (field, [].as_slice())),
        1 => next_bytes(what, rest, 8).map(|_| (field, [].as_slice())),
        2 => {
            let length = next_varint(what, rest)?;
            next_bytes(what, rest, length).map(|content| (field, content))
        }
        5 => next_bytes(what, rest, 4).map(|_| (field, [].as_slice())),
        // Groups: no message of this crate has any.
        _ => Err(TypesError::NotCanonical { what }),
    }
}

fn next_varint(what: &'static str, rest: &mut &[u8]) -> Result<u64, TypesError> {
    let length = prost::decode_length_delimiter(&mut *rest)
        .map_err(|error| TypesError::Undecodable { what, reason: error.to_string() })?;
    u64::try_from(length).map_err(|error| TypesError::Undecodable { what, reason: error.to_string() })
}

fn next_bytes<'a>(what: &'static str, rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], TypesError> {
    let (content, after) =
        usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length)).ok_or_else(|| {
            let reason = format!("a field of {length} bytes is cut off after {}", rest.len());
            TypesError::Undecodable { what, reason }
        })?;
    *rest = after;
    Ok(content)
}
