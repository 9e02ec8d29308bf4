//! Searches for inputs that break the target `key_file`.
#![no_main]

aegis_fuzz::search!("key_file");
