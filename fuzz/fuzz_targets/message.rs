//! Searches for inputs that break the target `message`.
#![no_main]

aegis_fuzz::search!("message");
