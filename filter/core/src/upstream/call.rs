use std::rc::Rc;

use crate::answer::usage::AnswerContext;
use crate::limits::account::Reservation;
use crate::limits::quota::OutputCut;
use crate::price::{Price, TokenUsage};
use crate::request::body::UsageBounds;
use crate::request::endpoint::ModelOperation;
use crate::snapshot::{McpServer, Provider};

/// What was asked, and of whom.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each request, and most are of models")]
pub enum UpstreamCall {
    /// A model's answer, of a provider.
    Model(ModelCall),
    /// Something of an MCP server.
    Mcp(McpCall),
}

/// What was asked of a provider, and on which terms.
#[derive(Debug)]
pub struct ModelCall {
    /// What it does.
    pub operation: ModelOperation,
    /// What the client asked for.
    pub model: String,
    /// What the provider was asked for.
    pub served_model: String,
    /// Who serves it.
    pub provider: Rc<Provider>,
    /// What the model costs, where that is known.
    pub price: Option<Rc<Price>>,
    /// The most tokens that the model reads and writes at once, where that is known.
    pub context_window: Option<u64>,
    /// What the client's body says.
    pub bounds: UsageBounds,
    /// What it holds of its limits; none where nothing limits it.
    pub reservation: Option<Reservation>,
    /// Where the answer may have fewer tokens than were asked for.
    pub output_cut: Option<OutputCut>,
}

/// What was asked of an MCP server, which has no price.
#[derive(Debug)]
pub struct McpCall {
    /// Who serves it.
    pub server: Rc<McpServer>,
    /// `server/tool`; empty where no tool is called.
    pub tool: String,
    /// What it holds of its limits; none where nothing limits requests.
    pub reservation: Option<Reservation>,
}

impl UpstreamCall {
    /// The host, and port where needed, that it goes to.
    #[must_use]
    pub fn authority(&self) -> &str {
        match self {
            Self::Model(call) => &call.provider.authority,
            Self::Mcp(call) => &call.server.authority,
        }
    }

    /// The Envoy cluster that it goes to.
    #[must_use]
    pub fn cluster(&self) -> &str {
        match self {
            Self::Model(call) => &call.provider.cluster,
            Self::Mcp(call) => &call.server.cluster,
        }
    }

    /// For how many seconds its answer may be silent, in digits; none for the gateway's own limit.
    #[must_use]
    pub fn idle_timeout(&self) -> Option<&str> {
        match self {
            Self::Model(call) => call.provider.idle_timeout.as_deref(),
            Self::Mcp(_) => None,
        }
    }

    /// What is held for it.
    #[must_use]
    pub fn reservation(&self) -> Option<&Reservation> {
        match self {
            Self::Model(call) => call.reservation.as_ref(),
            Self::Mcp(call) => call.reservation.as_ref(),
        }
    }

    /// The same, to be settled or cancelled.
    #[must_use]
    pub fn into_reservation(self) -> Option<Reservation> {
        match self {
            Self::Model(call) => call.reservation,
            Self::Mcp(call) => call.reservation,
        }
    }
}

impl ModelCall {
    /// What of it the reader of its answer must know.
    pub(crate) fn asked(&self) -> AnswerContext {
        let long_cache = self.bounds.tier.long_cache;
        AnswerContext { operation: self.operation, hides_usage: self.hides_usage(), long_cache }
    }

    /// Whether the usage chunk was asked for by the gateway, not by the client.
    pub(crate) fn hides_usage(&self) -> bool {
        self.bounds.must_ask_for_usage(self.operation)
    }
}
