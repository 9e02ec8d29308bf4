//! Searches for inputs that break the target `canonical`.
#![no_main]

aegis_fuzz::search!("canonical");
