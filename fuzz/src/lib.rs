//! What all searching programs share. The targets themselves are in `aegis_tests::fuzz`; see `docs/fuzzing.md`.

use aegis_tests::fuzz::Target;
use aegis_tests::fuzz::memory::Counting;

#[doc(hidden)]
pub use libfuzzer_sys;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs a target once.
///
/// # Panics
/// When there is no target of this name, and when the target finds something broken.
pub fn run(name: &str, input: &[u8]) {
    let target = Target::named(name).expect("the program is named after a target");
    (target.run)(input);
}

/// Makes the program that searches for inputs which break a target.
#[macro_export]
macro_rules! search {
    ($name:literal) => {
        $crate::libfuzzer_sys::fuzz_target!(|input: &[u8]| $crate::run($name, input));
    };
}
