//! Searches for inputs that break the target `values`.
#![no_main]

aegis_fuzz::search!("values");
