//! Searches for inputs that break the target `record`.
#![no_main]

aegis_fuzz::search!("record");
