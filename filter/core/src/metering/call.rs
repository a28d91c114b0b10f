use std::rc::Rc;

use super::Ending;
use crate::account::{self, Actual, Reservation};
use crate::body::Terms;
use crate::endpoint::{Operation, Shape};
use crate::price::{NanoUsd, Price, Served};
use crate::record::{Record, Settlement};
use crate::snapshot::{McpServer, Provider};
use crate::store::Store;
use crate::tokens::Tokens;
use crate::usage::{self, Reading};

/// What was asked, and of whom.
#[derive(Debug)]
pub enum Call {
    /// A model's answer, of a provider.
    Model(ModelCall),
    /// Something of an MCP server.
    Mcp(McpCall),
}

/// What was asked of a provider, and on which terms.
#[derive(Debug)]
pub struct ModelCall {
    /// What it does.
    pub operation: Operation,
    /// What the client asked for.
    pub model: String,
    /// What the provider was asked for.
    pub served_model: String,
    /// Who serves it.
    pub provider: Rc<Provider>,
    /// What the model costs, where that is known.
    pub price: Option<Rc<Price>>,
    /// What the client's body says.
    pub terms: Terms,
    /// The most that it can use, and what that was taken from; none where nothing limits it.
    pub reserved: Option<Reserved>,
}

/// What was asked of an MCP server, which has no price.
#[derive(Debug)]
pub struct McpCall {
    /// Who serves it.
    pub server: Rc<McpServer>,
    /// `server/tool`; empty where no tool is called.
    pub tool: String,
    /// What it was taken from; none where nothing limits requests.
    pub reserved: Option<Reserved>,
}

/// What is held for a request until its end.
#[derive(Debug)]
pub struct Reserved {
    /// The most tokens that it can use; none where only requests are limited.
    pub most: Option<Tokens>,
    /// Where they were taken from.
    pub reservation: Reservation,
}

impl Call {
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
    pub fn reserved(&self) -> Option<&Reserved> {
        match self {
            Self::Model(call) => call.reserved.as_ref(),
            Self::Mcp(call) => call.reserved.as_ref(),
        }
    }

    /// The same, to be settled or cancelled.
    #[must_use]
    pub fn into_reserved(self) -> Option<Reserved> {
        match self {
            Self::Model(call) => call.reserved,
            Self::Mcp(call) => call.reserved,
        }
    }
}

impl McpCall {
    /// Notes what it was, and settles what was reserved: it has used nothing else.
    pub(super) fn finish<S: Store>(self, record: &mut Record, streamed: bool, store: &S) {
        record.streamed = streamed;
        record.provider = self.server.provider();
        record.model = self.tool;
        if let Some(reserved) = self.reserved {
            let actual = Actual { tokens: 0, cost: NanoUsd(0) };
            record.charges = account::settle(store, reserved.reservation, actual);
        }
    }
}

impl ModelCall {
    /// Notes what it was and what it used, and settles what was reserved.
    pub(super) fn finish<S: Store>(
        self,
        record: &mut Record,
        reading: Option<&Reading>,
        ending: Ending,
        store: &S,
    ) {
        (record.settlement, record.tokens) = self.settle(reading, ending);
        if self.terms.tier.long_cache && self.operation.shape() == Shape::OpenAi {
            // An answer in this shape does not say for how long what it wrote is kept.
            let written = std::mem::take(&mut record.tokens.cache_write_5m);
            record.tokens.cache_write_1h = record.tokens.cache_write_1h.saturating_add(written);
        }
        let served = reading.map(|reading| reading.served.clone()).unwrap_or_default();
        record.cost = self.bill(&record.tokens, &served, &mut record.settlement);
        record.price_version = self.price.as_ref().map_or(0, |price| price.version);
        record.service_tier = served.record(&self.terms.tier);
        record.streamed = self.terms.stream;
        record.model = self.model;
        record.served_model = self.served_model;
        record.provider.clone_from(&self.provider.name);
        if let Some(reserved) = self.reserved {
            let tokens = record.tokens.input.saturating_add(record.tokens.output);
            let actual = Actual { tokens, cost: record.cost };
            record.charges = account::settle(store, reserved.reservation, actual);
        }
    }

    /// What the use costs, by the tier that served it. Where that is not known, what was reserved is
    /// charged; where nothing was, the most that it can have cost.
    fn bill(&self, tokens: &Tokens, served: &Served, settlement: &mut Settlement) -> NanoUsd {
        let Some(price) = &self.price else { return NanoUsd(0) };
        let reserved = self.reserved.as_ref().map(|reserved| reserved.reservation.most().cost);
        let reserved = reserved.filter(|cost| *cost > NanoUsd(0));
        match *settlement {
            Settlement::None => NanoUsd(0),
            Settlement::Reserved => reserved.unwrap_or_else(|| price.worst(tokens, &self.terms.tier)),
            Settlement::Reported | Settlement::Estimated => {
                price.cost(tokens, &self.terms.tier, served).unwrap_or_else(|| {
                    *settlement = Settlement::Reserved;
                    reserved.unwrap_or_default().max(price.dearest(tokens))
                })
            }
        }
    }

    /// Whether the usage chunk was asked for by the gateway, not by the client.
    pub(super) fn hides_usage(&self) -> bool {
        self.terms.must_ask_for_usage(self.operation)
    }

    /// The most that was reserved, where tokens or money are limited.
    fn most(&self) -> Option<Tokens> {
        self.reserved.as_ref().and_then(|reserved| reserved.most)
    }

    /// What it used, and how that is known.
    fn settle(&self, reading: Option<&Reading>, ending: Ending) -> (Settlement, Tokens) {
        let nothing = (Settlement::None, Tokens::default());
        if self.operation.is_free() {
            return nothing;
        }
        let Some(reading) = reading else {
            return match (ending, self.most()) {
                (Ending::Answered | Ending::NeverSent, _) => nothing,
                (Ending::Unknown, _) if !self.operation.is_metered() => nothing,
                (Ending::Unknown, Some(most)) => (Settlement::Reserved, most),
                (Ending::Unknown, None) => self.unlimited(),
            };
        };
        match (&reading.usage, self.most()) {
            (Some(usage), _) if reading.complete => (Settlement::Reported, *usage),
            // A stream that was cut: what it told so far, and what came.
            (Some(usage), _) => {
                let counted = self.estimate(reading);
                let output = usage.output.max(counted.output);
                (Settlement::Estimated, Tokens { output, ..*usage })
            }
            (None, _) if !self.operation.is_metered() => nothing,
            // A document that was cut was written to its end, and nobody knows how long it is.
            (None, Some(most)) if !reading.complete && !self.terms.stream => (Settlement::Reserved, most),
            (None, None) if !reading.complete && !self.terms.stream => self.unlimited(),
            (None, _) => (Settlement::Estimated, self.estimate(reading)),
        }
    }

    /// What nobody limits, and nobody knows: at most what the client asked for.
    fn unlimited(&self) -> (Settlement, Tokens) {
        let counted = self.estimate(&Reading::default());
        match self.terms.max_output.filter(|_| self.operation.has_output()) {
            Some(most) => {
                let output = most.saturating_mul(self.terms.choices);
                (Settlement::Reserved, Tokens { output, ..counted })
            }
            None => (Settlement::Estimated, counted),
        }
    }

    /// Counted by the gateway, and never more than was reserved.
    fn estimate(&self, reading: &Reading) -> Tokens {
        let counted = usage::estimate(reading, &self.terms);
        match self.most() {
            Some(most) => Tokens {
                input: counted.input.min(most.input),
                output: counted.output.min(most.output),
                ..counted
            },
            None => counted,
        }
    }
}
