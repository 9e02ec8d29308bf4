//! What hostile bytes may cost: decoding takes memory in proportion to honest values, not to cleverly empty entries.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use aegis_types::{Batch, Canonical, Certificate, CommittedBlock, Genesis, Header, TypesError, ValidatorSet};

/// Counts what each thread asks for.
struct Counting;

thread_local! {
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the counter neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.set(ASKED.get().saturating_add(layout.size()));
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Decodes, and says how many bytes of memory were asked for meanwhile.
fn decode<T: Canonical>(bytes: &[u8]) -> (Result<T, TypesError>, usize) {
    let before = ASKED.get();
    let result = T::decode(bytes);
    (result, ASKED.get().saturating_sub(before))
}

/// As many empty entries of a field as fit the type's limit, but no more than show the point quickly.
fn empty_entries<T: Canonical>(field: u8) -> Vec<u8> {
    [field << 3 | 2, 0].repeat((T::MAX_BYTES / 2).min(200_000))
}

/// One field with content.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    prost::encode_length_delimiter(content.len(), &mut bytes).expect("a vector grows");
    bytes.extend(content);
    bytes
}

fn assert_refused_cheaply<T: Canonical>(bytes: &[u8], case: &str) {
    assert!(bytes.len() <= T::MAX_BYTES, "{case} is refused by its length: nothing is shown");
    let (result, asked) = decode::<T>(bytes);
    assert!(result.is_err(), "{case}");
    assert!(asked <= 1_000_000, "{case}: {} hostile bytes took {asked} bytes of memory", bytes.len());
}

#[test]
fn a_batch_of_empty_proposals_is_refused_before_room_is_made_for_them() {
    let bytes = empty_entries::<Batch>(3);
    assert_refused_cheaply::<Batch>(&bytes, "a batch of empty proposals");
    let (result, _) = decode::<Batch>(&bytes);
    let error = TypesError::TooMany { what: "proposals of a batch", actual: 200_000, limit: 4_096 };
    assert_eq!(result, Err(error));
}

#[test]
fn a_committed_block_of_empty_parts_is_refused_before_room_is_made_for_them() {
    assert_refused_cheaply::<CommittedBlock>(&empty_entries::<CommittedBlock>(3), "empty batches");
    assert_refused_cheaply::<CommittedBlock>(&empty_entries::<CommittedBlock>(1), "empty headers");

    let hollow_batch = field(3, &[0x1a, 0].repeat(200_000));
    assert_refused_cheaply::<CommittedBlock>(&hollow_batch.repeat(8), "batches of empty proposals");

    let hollow_header = field(1, &[0x32, 0].repeat(4_000_000));
    assert_refused_cheaply::<CommittedBlock>(&hollow_header, "a header of empty references");

    // Decoders join the parts of a message that is given in several.
    let header_part = field(1, &[0x32, 0].repeat(4_000));
    assert_refused_cheaply::<CommittedBlock>(&header_part.repeat(1_000), "a header in a thousand parts");
}

#[test]
fn small_messages_of_empty_entries_stay_small() {
    assert_refused_cheaply::<Header>(&empty_entries::<Header>(6), "a header of empty references");
    assert_refused_cheaply::<Certificate>(
        &empty_entries::<Certificate>(2),
        "a certificate of empty signatures",
    );
    assert_refused_cheaply::<ValidatorSet>(&empty_entries::<ValidatorSet>(2), "a set of empty members");
    assert_refused_cheaply::<Genesis>(&empty_entries::<Genesis>(4), "a genesis of empty parameters");
}

#[test]
fn what_is_cut_off_or_no_message_is_refused_by_a_look_at_its_entries() {
    let cases: [&[u8]; 8] = [
        &[0x1a],
        &[0x1a, 0x80],
        &[0x1a, 5, 0],
        &[0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
        &[0x09, 1, 2, 3],
        &[0x0d, 1, 2],
    ];
    for bytes in cases {
        for refused in [decode::<Batch>(bytes).0.err(), decode::<CommittedBlock>(bytes).0.err()] {
            assert!(matches!(refused, Some(TypesError::Undecodable { .. })), "{bytes:?}: {refused:?}");
        }
    }
}
