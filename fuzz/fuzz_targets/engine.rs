//! Searches for inputs that break the target `engine`.
#![no_main]

aegis_fuzz::search!("engine");
