//! Choices taken from a fuzzer's bytes. When the bytes are used up every choice is the first one.

use arbitrary::Unstructured;

/// Bytes of one step's source.
const STEP_BYTES_MAX: usize = 63;

/// A source of choices.
#[derive(Debug)]
pub struct Choices<'a>(Unstructured<'a>);

impl<'a> Choices<'a> {
    /// Takes choices from `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Unstructured::new(bytes))
    }

    /// Whether no bytes are left.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// A number below `bound`, which is at most 256.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()).checked_rem(bound).unwrap_or_default()
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u8) -> bool {
        // Not for the byte 0: a source that is used up must not choose the exception.
        times > 0 && self.byte() % times == times - 1
    }

    /// One of some values.
    pub fn of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    /// A number: mostly small, at times at an edge or any.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=219 => u64::from(small % 12),
            220..=229 => u64::MAX,
            230..=239 => u64::MAX - 1,
            240..=249 => 1 << 32,
            250..=255 => self.0.arbitrary().unwrap_or_default(),
        }
    }

    /// At most `most` bytes.
    pub fn bytes(&mut self, most: usize) -> &'a [u8] {
        let length = if most > 256 {
            usize::from(self.0.arbitrary::<u16>().unwrap_or_default()) % (most + 1)
        } else {
            self.below(most + 1)
        };
        let length = length.min(self.0.len());
        self.0.bytes(length).unwrap_or_default()
    }

    /// Text of at most `most` bytes; what is no UTF-8 is replaced.
    pub fn text(&mut self, most: usize) -> String {
        String::from_utf8_lossy(self.bytes(most)).into_owned()
    }

    /// A source of its own for one step: a length, below 64, and as many bytes. A change in one step's bytes leaves what the
    /// later steps mean as it was.
    #[must_use]
    pub fn step(&mut self) -> Choices<'a> {
        Choices::new(self.bytes(STEP_BYTES_MAX))
    }
}
