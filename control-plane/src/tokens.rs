//! Gateways' tokens, as the discovery servers check them.

use latchkey_core::role::Permission;
use latchkey_discovery::source::Authenticator;

use crate::action::tokens::hash;
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
}
