//! Searches for inputs that break the target `weights`.
#![no_main]

aegis_fuzz::search!("weights");
