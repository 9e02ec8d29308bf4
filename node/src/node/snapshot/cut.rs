//! At which level a state is cut into chunks.
//!
//! It follows from the state alone, so that all nodes cut alike: the smallest level at which chunks have about the size that
//! is aimed at on average, and none is larger than nodes accept. Key hashes spread a state evenly; who searches for keys
//! whose hashes begin alike makes one chunk large, and the cut finer: each further bit of likeness doubles the search.

use aegis_types::{Subtree, TypesError};

use super::chunk::{CHUNK_BYTES_AIM, CHUNK_BYTES_MAX};

/// A state that cannot be cut: one bucket, which is the smallest chunk, is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a chunk would have {bytes} bytes, more than the {CHUNK_BYTES_MAX} that nodes accept, even at the finest cut: somebody has \
     filled one bucket of the state. No snapshot can be made until keys of it are deleted; newcomers have to sync by blocks, \
     so keep an archive node"
)]
pub struct Uncuttable {
    bytes: u64,
}

/// The bytes of a state's entries, bucket by bucket.
#[derive(Debug, Clone)]
pub struct BucketSizes {
    bytes: Vec<u64>,
}

impl BucketSizes {
    /// An empty state's.
    ///
    /// # Errors
    /// None as long as the deepest level is one.
    pub fn new() -> Result<Self, TypesError> {
        Ok(Self { bytes: vec![0; Subtree::count(Subtree::LEVEL_MAX)?] })
    }

    /// Counts an entry of so many bytes.
    ///
    /// # Errors
    /// None as long as the deepest level is one.
    pub fn add(&mut self, key: &[u8], bytes: u64) -> Result<(), TypesError> {
        let bucket = Subtree::of_key(Subtree::LEVEL_MAX, key)?.index();
        if let Some(sum) = self.bytes.get_mut(bucket) {
            *sum = sum.saturating_add(bytes);
        }
        Ok(())
    }

    /// The bytes of all entries.
    pub fn total(&self) -> u64 {
        self.bytes.iter().copied().fold(0, u64::saturating_add)
    }

    /// The level to cut at.
    ///
    /// # Errors
    /// [`Uncuttable`].
    pub fn level(&self) -> Result<u32, Uncuttable> {
        let fits = |level: &u32| self.largest(*level) <= CHUNK_BYTES_MAX;
        let coarsest = level_for(self.total());
        (coarsest..=Subtree::LEVEL_MAX)
            .find(fits)
            .ok_or_else(|| Uncuttable { bytes: self.largest(Subtree::LEVEL_MAX) })
    }

    /// The largest chunk of a level.
    fn largest(&self, level: u32) -> u64 {
        let width = self.bytes.len().checked_shr(level).unwrap_or_default().max(1);
        let sums =
            self.bytes.chunks(width).map(|buckets| buckets.iter().copied().fold(0, u64::saturating_add));
        sums.max().unwrap_or_default()
    }
}

/// The level at which chunks of a state of so many bytes have about the size that is aimed at.
fn level_for(bytes: u64) -> u32 {
    let chunks = bytes.div_ceil(CHUNK_BYTES_AIM).max(1);
    chunks.next_power_of_two().trailing_zeros().min(Subtree::LEVEL_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE_BYTES: u64 = 64 * 1024;

    /// Sizes of a state with so many of the largest values under keys whose hashes begin with the same bits.
    fn alike(keys: usize, bits: u32) -> BucketSizes {
        let mut sizes = BucketSizes::new().unwrap();
        let candidates = (0..).map(|number: u64| number.to_be_bytes());
        let alike = candidates.filter(|key| Subtree::of_key(bits, key).unwrap().index() == 1);
        for key in alike.take(keys) {
            sizes.add(&key, VALUE_BYTES).unwrap();
        }
        sizes
    }

    #[test]
    fn chunks_have_about_the_size_aimed_at() {
        assert_eq!(level_for(0), 0);
        assert_eq!(level_for(CHUNK_BYTES_AIM), 0);
        assert_eq!(level_for(CHUNK_BYTES_AIM + 1), 1);
        assert_eq!(level_for(200 * CHUNK_BYTES_AIM), 8);
        assert_eq!(level_for(u64::MAX), Subtree::LEVEL_MAX);
        let mut even = BucketSizes::new().unwrap();
        for number in 0..20_000_u64 {
            even.add(&number.to_be_bytes(), 1_000).unwrap();
        }
        assert_eq!(even.level(), Ok(level_for(20_000_000)));
    }

    #[test]
    fn keys_that_were_chosen_to_fill_one_chunk_make_the_cut_finer_and_do_not_prevent_it() {
        let sizes = alike(1_030, 7);
        assert_eq!(level_for(sizes.total()), 7, "by size alone, all of it would be one chunk");
        assert!(sizes.largest(7) > CHUNK_BYTES_MAX);
        let level = sizes.level().unwrap();
        assert_eq!(level, 8);
        assert!(sizes.largest(level) <= CHUNK_BYTES_MAX);

        assert_eq!(alike(1_030, 12).level(), Ok(13));
    }

    #[test]
    fn one_bucket_that_is_too_large_cannot_be_cut() {
        let mut sizes = BucketSizes::new().unwrap();
        (0..1_030).for_each(|_| sizes.add(b"key", VALUE_BYTES).unwrap());
        assert_eq!(sizes.level(), Err(Uncuttable { bytes: 1_030 * VALUE_BYTES }));
        assert!(sizes.level().unwrap_err().to_string().contains("archive"));
    }
}
