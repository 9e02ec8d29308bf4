//! Searches for inputs that break the target `segments`.
#![no_main]

aegis_fuzz::search!("segments");
