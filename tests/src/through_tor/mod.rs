//! What Tor costs: the same four validators over direct links, through Tor, and with one of them behind Tor, in one run.

mod measure;
mod nodes;
mod table;

pub use measure::{Figures, measure};
pub use nodes::{Deployment, Nodes};
pub use table::render;
