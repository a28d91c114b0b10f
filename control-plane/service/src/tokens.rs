//! What tokens are found by, and how the discovery servers check gateways' tokens.

use latchkey_core::role::Permission;
use latchkey_discovery::source::{Authenticator, Claim};
use latchkey_store::Store;
use latchkey_world::World;
use sha2::{Digest as _, Sha256};

/// The name of a gateway to which a token is bound that every gateway may use.
pub const ANY_GATEWAY: &str = "*";

/// What the store keeps in the place of a token.
#[must_use]
pub fn hash(value: &str) -> [u8; 32] {
    Sha256::digest(value.as_bytes()).into()
}

/// Admits tokens of the role `gateway`.
#[derive(Clone, Debug)]
pub struct GatewayTokens {
    store: Store,
    world: World,
}

impl GatewayTokens {
    /// Those in `store`.
    #[must_use]
    pub fn new(store: Store, world: World) -> Self {
        Self { store, world }
    }
}

impl Authenticator for GatewayTokens {
    async fn admit(&self, token: &str) -> anyhow::Result<bool> {
        let token = self.store.token(&hash(token), self.world.now()).await?;
        Ok(token.is_some_and(|token| token.role.permits(Permission::Stream)))
    }

    async fn claim(&self, token: &str, gateway: &str) -> anyhow::Result<Claim> {
        let hash = hash(token);
        let token = self.store.token(&hash, self.world.now()).await?;
        let mut bound = token.and_then(|token| token.gateway);
        if bound.is_none() {
            // Of several that come at once the first one has it.
            self.store.bind_token(&hash, gateway).await?;
            bound = self.store.token(&hash, self.world.now()).await?.and_then(|token| token.gateway);
        }
        Ok(match bound {
            Some(bound) if bound == gateway || bound == ANY_GATEWAY => Claim::Granted,
            // None: revoked meanwhile.
            other => Claim::BoundTo(other.unwrap_or_default()),
        })
    }
}
