use std::rc::Rc;

use serde_json::value::RawValue;

use crate::answer::usage::AnswerContext;
use crate::limits::account::Reservation;
use crate::limits::quota::OutputCut;
use crate::price::Price;
use crate::request::body::UsageBounds;
use crate::request::endpoint::ModelOperation;
use crate::snapshot::{McpServer, Offer, Provider};
use crate::upstream::attempts::SharedAttempts;

/// What is asked of whom, and what is reserved for it.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each request, and most are of models")]
pub enum UpstreamCall {
    /// Of a provider.
    Model(ModelCall),
    /// Of an MCP server.
    Mcp(McpCall),
}

/// A call of a model.
#[derive(Debug)]
pub struct ModelCall {
    pub operation: ModelOperation,
    /// The model's name for clients.
    pub model: String,
    /// The model's name at the provider.
    pub served_model: String,
    pub provider: Rc<Provider>,
    /// None where unknown.
    pub price: Option<Rc<Price>>,
    /// Tokens of input and output together; none where unknown.
    pub context_window: Option<u64>,
    /// Bounds of its use, from the client's body.
    pub bounds: UsageBounds,
    /// None where nothing limits it.
    pub reservation: Option<Reservation>,
    /// Set where the answer may have fewer output tokens than asked for.
    pub output_cut: Option<OutputCut>,
    /// Of a routing group; the provider, its name for the model and the price are those of the last try.
    pub attempts: Option<SharedAttempts>,
}

/// A request to an MCP server. It has no price.
#[derive(Debug)]
pub struct McpCall {
    pub server: Rc<McpServer>,
    /// `server/tool`; empty where no tool is called.
    pub tool: String,
    /// The id of the JSON-RPC request; none where there is none.
    pub id: Option<Box<RawValue>>,
    /// Whether the app has rules for the called tool's arguments: the server gets them by the body alone, where they were
    /// judged.
    pub has_argument_rules: bool,
    /// None where nothing limits requests.
    pub reservation: Option<Reservation>,
}

impl UpstreamCall {
    /// The host, with the port where needed.
    #[must_use]
    pub fn authority(&self) -> &str {
        match self {
            Self::Model(call) => &call.provider.authority,
            Self::Mcp(call) => &call.server.authority,
        }
    }

    /// The Envoy cluster.
    #[must_use]
    pub fn cluster(&self) -> &str {
        match self {
            Self::Model(call) => &call.provider.cluster,
            Self::Mcp(call) => &call.server.cluster,
        }
    }

    /// The tries of a call of a routing group; none of any other.
    #[must_use]
    pub fn attempts(&self) -> Option<&SharedAttempts> {
        match self {
            Self::Model(call) => call.attempts.as_ref(),
            Self::Mcp(_) => None,
        }
    }

    /// Seconds that the answer may be silent, in digits; none for the gateway's default.
    #[must_use]
    pub fn idle_timeout(&self) -> Option<&str> {
        match self {
            Self::Model(call) => call.provider.idle_timeout.as_deref(),
            Self::Mcp(_) => None,
        }
    }

    #[must_use]
    pub fn reservation(&self) -> Option<&Reservation> {
        match self {
            Self::Model(call) => call.reservation.as_ref(),
            Self::Mcp(call) => call.reservation.as_ref(),
        }
    }

    #[must_use]
    pub fn into_reservation(self) -> Option<Reservation> {
        match self {
            Self::Model(call) => call.reservation,
            Self::Mcp(call) => call.reservation,
        }
    }
}

impl ModelCall {
    /// Takes over whom the last try asked.
    pub(crate) fn follow_attempts(&mut self) {
        let Some(attempts) = &self.attempts else { return };
        let attempts = attempts.borrow();
        let Some(target) = attempts.current() else { return };
        let Offer { provider, upstream_name, price, context_window, .. } = &target.offer;
        self.provider = Rc::clone(provider);
        self.served_model.clone_from(upstream_name);
        self.price.clone_from(price);
        self.context_window = *context_window;
    }

    /// What the reader of the answer's usage must know.
    pub(crate) fn asked(&self) -> AnswerContext {
        let long_cache = self.bounds.tier.long_cache;
        AnswerContext { operation: self.operation, hides_usage: self.hides_usage(), long_cache }
    }

    /// Whether the gateway, and not the client, asked for the usage chunk.
    pub(crate) fn hides_usage(&self) -> bool {
        self.bounds.must_ask_for_usage(self.operation)
    }
}
