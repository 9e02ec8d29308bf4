//! Searches for inputs that break the target `receipt`.
#![no_main]

aegis_fuzz::search!("receipt");
