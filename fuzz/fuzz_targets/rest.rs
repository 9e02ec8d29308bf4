//! Searches for inputs that break the target `rest`.
#![no_main]

aegis_fuzz::search!("rest");
