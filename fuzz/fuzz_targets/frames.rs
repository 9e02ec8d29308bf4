//! Searches for inputs that break the target `frames`.
#![no_main]

aegis_fuzz::search!("frames");
