//! Searches for inputs that break the target `ledger`.
#![no_main]

aegis_fuzz::search!("ledger");
