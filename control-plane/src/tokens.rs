//! Gateways' tokens, as the discovery servers check them.

use latchkey_core::role::Permission;
use latchkey_discovery::source::{Authenticator, Claim};

use crate::action::tokens::{ANY_GATEWAY, hash};
use crate::store::Store;
use crate::world::World;

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
