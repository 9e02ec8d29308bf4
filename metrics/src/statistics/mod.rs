//! The floating-point statistics: phi, stability, divergence, round synchrony, and quantiles from samples.
//!
//! All of it is pure: slices in, numbers out. Transcendental functions come from `libm`, so that two machines print
//! the same digits; no result enters agreed state other than as a member's own rounded word.

pub mod bins;
pub mod distribution;
mod linear;
pub mod observers;
pub mod phi;
pub mod pool;
pub mod process;
pub mod shrinkage;
pub mod stability;
pub mod synchrony;

pub use bins::{Histogram, OctileBins};
pub use observers::{SampledQuantile, sample_size, sampled_quantile};
pub use phi::{PhiEstimate, TooLittle, phi};
pub use pool::Pool;
pub use process::{Cut, GaussianProcess};
pub use stability::{Divergence, divergence, stability};
pub use synchrony::SynchronyWindow;
