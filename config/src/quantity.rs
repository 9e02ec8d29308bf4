//! Quantities as people write them.

mod byte_size;
mod optional_path;
mod period;

pub use byte_size::ByteSize;
pub use optional_path::OptionalPath;
pub use period::Period;
