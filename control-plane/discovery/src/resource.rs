//! The names of resources, as gateways write them in a NACK: `key/<hex>`, `app/<uuid>`, `catalogue`.

use latchkey_proto::discovery::DiscoveryResponse;
use latchkey_proto::key::KeyHash;
use uuid::Uuid;

/// The catalogue's name.
pub const CATALOGUE: &str = "catalogue";

/// A key's name.
#[must_use]
pub fn key(hash: &KeyHash) -> String {
    format!("key/{hash}")
}

/// An app's name.
#[must_use]
pub fn app(id: Uuid) -> String {
    format!("app/{id}")
}

/// Everything that a response names, removals included.
pub(crate) fn names(response: &DiscoveryResponse) -> impl Iterator<Item = String> {
    let keys = response.keys.iter().map(|key| &key.hash).chain(&response.removed_keys);
    let apps = response.apps.iter().map(|app| &app.id).chain(&response.removed_apps);
    let catalogue = response.catalogue.iter().map(|_| CATALOGUE.to_owned());
    catalogue.chain(apps.map(|id| app_bytes(id))).chain(keys.map(|hash| key_bytes(hash)))
}

/// Takes out of a response whatever has a name for which `strip` holds.
pub(crate) fn strip(response: &mut DiscoveryResponse, mut strip: impl FnMut(&str) -> bool) {
    if strip(CATALOGUE) {
        response.catalogue = None;
    }
    response.apps.retain(|app| !strip(&app_bytes(&app.id)));
    response.removed_apps.retain(|id| !strip(&app_bytes(id)));
    response.keys.retain(|key| !strip(&key_bytes(&key.hash)));
    response.removed_keys.retain(|hash| !strip(&key_bytes(hash)));
}

fn key_bytes(hash: &[u8]) -> String {
    KeyHash::try_from(hash).map_or_else(|_| "key/malformed".to_owned(), |hash| key(&hash))
}

fn app_bytes(id: &[u8]) -> String {
    Uuid::from_slice(id).map_or_else(|_| "app/malformed".to_owned(), app)
}
