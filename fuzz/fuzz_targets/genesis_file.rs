//! Searches for inputs that break the target `genesis_file`.
#![no_main]

aegis_fuzz::search!("genesis_file");
