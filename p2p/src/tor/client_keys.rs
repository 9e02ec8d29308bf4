//! Our key for services with restricted discovery, shown to the Tor client for as long as a dial needs it.
//!
//! arti looks the key up in its store on disk, by the service that is dialled. Onion addresses come from hearsay as well, so a
//! key that stayed would let others fill the disk; and one that an earlier key of the node has left there must not be used.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arti_client::{HsId, KeystoreSelector, TorClient};
use tor_hscrypto::pk::{HsClientDescEncKey, HsClientDescEncSecretKey};
use tor_llcrypto::pk::curve25519::StaticSecret;
use tor_rtcompat::PreferredRuntime;

use crate::error::chain_of;

/// The secret with which services with restricted discovery are found.
pub(super) type ClientSecret = [u8; 32];

/// The key and the services it is shown for at this moment.
pub(super) struct ClientKeys {
    tor: Arc<TorClient<PreferredRuntime>>,
    secret: ClientSecret,
    /// Dials under way per service; as many as the swarm lets be pending.
    dials: Mutex<HashMap<HsId, usize>>,
}

/// As long as it lives, the Tor client knows our key for a service.
pub(super) struct ShownKey<'a> {
    keys: &'a ClientKeys,
    service: HsId,
}

impl ClientKeys {
    pub(super) fn new(tor: Arc<TorClient<PreferredRuntime>>, secret: ClientSecret) -> Self {
        Self { tor, secret, dials: Mutex::default() }
    }

    /// Shows the key for a dial to a service.
    pub(super) fn show(&self, onion: &str) -> io::Result<ShownKey<'_>> {
        let service: HsId = onion.parse().map_err(io::Error::other)?;
        let mut dials = self.dials();
        if !dials.contains_key(&service) {
            self.put(service)?;
        }
        *dials.entry(service).or_default() += 1;
        Ok(ShownKey { keys: self, service })
    }

    /// Puts the key into the store, in the place of any other. A crash leaves the keys of the dials that it broke off.
    fn put(&self, service: HsId) -> io::Result<()> {
        let known = self.tor.get_service_discovery_key(service).map_err(io::Error::other)?;
        let secret = secret_key(self.secret);
        if known.as_ref() == Some(&HsClientDescEncKey::from(&secret)) {
            return Ok(());
        }
        let store = KeystoreSelector::Primary;
        if known.is_some() {
            self.tor.remove_service_discovery_key(store, service).map_err(io::Error::other)?;
        }
        self.tor.insert_service_discovery_key(store, service, secret).map_err(io::Error::other)?;
        Ok(())
    }

    fn dials(&self) -> MutexGuard<'_, HashMap<HsId, usize>> {
        self.dials.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ShownKey<'_> {
    fn drop(&mut self) {
        let mut dials = self.keys.dials();
        let others = dials.get(&self.service).map_or(0, |count| count.saturating_sub(1));
        if others > 0 {
            dials.insert(self.service, others);
            return;
        }
        dials.remove(&self.service);
        let removed = self.keys.tor.remove_service_discovery_key(KeystoreSelector::Primary, self.service);
        if let Err(error) = removed {
            tracing::debug!(error = chain_of(&error), "the key for a dial through Tor stays in the store");
        }
    }
}

fn secret_key(secret: ClientSecret) -> HsClientDescEncSecretKey {
    StaticSecret::from(secret).into()
}

/// The public part of a secret, as services list it.
pub(super) fn public_key(secret: ClientSecret) -> String {
    HsClientDescEncKey::from(&secret_key(secret)).to_string()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::tor::{TorConfig, TorMode, settings};

    const SERVICE: &str = "vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd.onion";

    /// A client that never goes into the network.
    async fn offline(folder: &TempDir) -> Arc<TorClient<PreferredRuntime>> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config =
            TorConfig { mode: TorMode::Only, folder: folder.path().to_owned(), ..TorConfig::default() };
        let client = TorClient::builder().config(settings::client(&config).unwrap());
        client.create_unbootstrapped_async().await.unwrap()
    }

    fn stored(tor: &TorClient<PreferredRuntime>) -> Option<String> {
        tor.get_service_discovery_key(SERVICE.parse().unwrap()).unwrap().map(|key| key.to_string())
    }

    #[tokio::test]
    async fn the_key_is_in_the_store_while_somebody_dials_and_no_longer() {
        let folder = TempDir::new().unwrap();
        let tor = offline(&folder).await;
        let keys = ClientKeys::new(Arc::clone(&tor), [1; 32]);
        let first = keys.show(SERVICE).unwrap();
        let second = keys.show(SERVICE).unwrap();
        assert_eq!(stored(&tor), Some(public_key([1; 32])));
        drop(first);
        assert_eq!(stored(&tor), Some(public_key([1; 32])), "the other dial needs it");
        drop(second);
        assert_eq!(stored(&tor), None);
    }

    #[tokio::test]
    async fn a_key_that_an_earlier_node_key_has_left_is_replaced() {
        let folder = TempDir::new().unwrap();
        let tor = offline(&folder).await;
        let earlier = ClientKeys::new(Arc::clone(&tor), [1; 32]);
        std::mem::forget(earlier.show(SERVICE).unwrap());
        let keys = ClientKeys::new(Arc::clone(&tor), [2; 32]);
        let shown = keys.show(SERVICE).unwrap();
        assert_eq!(stored(&tor), Some(public_key([2; 32])));
        drop(shown);
        assert_eq!(stored(&tor), None);
    }
}
