//! The key-value state: `kv.put`, `kv.delete` and `kv.cas`.
//!
//! # Versions
//! A key's version rises by one with each change, removal included, and **no key ever has the same version twice**, also when
//! it is removed and made again: a new key begins one above the *floor*, the largest version that any removed key had (its
//! removal counted). Until something is removed, keys begin at 1. The floor is one number for the whole state, where
//! remembering each removed key's version would grow for ever. So whoever read version `v` of a key and writes with
//! `kv.cas` at `v` never overwrites what it has not seen.

use aegis_types::proto::KvRecord;
use prost::Message;

use crate::applied::LedgerEvent;
use crate::error::LedgerError;
use crate::execution::Execution;
use crate::keys;
use crate::outcome::{Outcome, RejectCode};
use crate::state::read;

impl Execution<'_> {
    pub(crate) fn kv_put(&mut self, key: &str, value: &[u8]) -> Result<Outcome, LedgerError> {
        let version = self.kv_version(key)?;
        Ok(self.kv_write(key, version, value))
    }

    pub(crate) fn kv_cas(&mut self, key: &str, expected: u64, value: &[u8]) -> Result<Outcome, LedgerError> {
        let version = self.kv_version(key)?;
        let actual = version.unwrap_or_default();
        if actual != expected {
            return Ok(Outcome::rejected(RejectCode::VersionMismatch { actual }));
        }
        Ok(self.kv_write(key, version, value))
    }

    pub(crate) fn kv_delete(&mut self, key: &str) -> Result<Outcome, LedgerError> {
        let Some(old) = self.kv_version(key)? else { return Ok(Outcome::rejected(RejectCode::NotFound)) };
        let version = old.saturating_add(1);
        self.head.version_floor = self.head.version_floor.max(version);
        self.state.delete(keys::kv(key));
        self.events.push(LedgerEvent::KvChanged { key: key.to_owned(), version, value: None });
        Ok(Outcome::applied())
    }

    fn kv_version(&self, key: &str) -> Result<Option<u64>, LedgerError> {
        Ok(read::<KvRecord>(&self.state, &keys::kv(key))?.map(|record| record.version))
    }

    fn kv_write(&mut self, key: &str, old: Option<u64>, value: &[u8]) -> Outcome {
        let version = old.unwrap_or(self.head.version_floor).saturating_add(1);
        let record = KvRecord { version, height: self.height.0, value: value.to_vec() };
        self.state.put(keys::kv(key), record.encode_to_vec());
        self.events.push(LedgerEvent::KvChanged { key: key.to_owned(), version, value: Some(record.value) });
        Outcome::applied_at(version)
    }
}
