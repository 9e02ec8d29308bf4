//! Searches for inputs that break the target `config`.
#![no_main]

aegis_fuzz::search!("config");
