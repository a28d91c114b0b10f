//! What one request uses: from what was reserved for it to its record.

use std::net::IpAddr;

use latchkey_proto::key::PREFIX;

use crate::account::{self, Actual, Reservation};
use crate::body::Terms;
use crate::conversation;
use crate::denial::Code;
use crate::endpoint::Operation;
use crate::header::Headers;
use crate::price::{NanoUsd, Price};
use crate::record::{Record, Settlement};
use crate::reply::{Attribution, Reply};
use crate::snapshot::UnixMs;
use crate::store::Store;
use crate::tokens::Tokens;
use crate::usage::{self, Passage, Reader, Reading};

/// The longest request id that is recorded.
const LONGEST_REQUEST_ID: usize = 128;

/// A request of a known key, from its headers to its record.
#[derive(Debug)]
pub struct Meter {
    started: UnixMs,
    attribution: Attribution,
    endpoint: &'static str,
    request_id: String,
    conversation_id: String,
    client_address: Option<IpAddr>,
    code: Option<Code>,
    /// What a refused request asked for.
    model: String,
    status: u16,
    first_byte: Option<UnixMs>,
    call: Option<Call>,
    reader: Option<Reader>,
}

/// What was asked of a provider, and on which terms.
#[derive(Debug)]
pub struct Call {
    /// What it does.
    pub operation: Operation,
    /// What the client asked for.
    pub model: String,
    /// What the provider was asked for.
    pub served_model: String,
    /// Who serves it.
    pub provider: String,
    /// What the model costs, where that is known.
    pub price: Option<Price>,
    /// What the client's body says.
    pub terms: Terms,
    /// The most that it can use, and what that was taken from; none where nothing limits it.
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

/// How an exchange with a provider ended, as far as the host can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The provider gave the answer's status.
    Answered,
    /// Nothing was sent to a provider.
    NeverSent,
    /// It was sent, and nobody knows what came of it.
    Unknown,
}

/// Envoy's response flags that say that nothing was sent: UH, UF, UO, NR, NC, OM and DF.
const NEVER_SENT: u64 = 0x2 | 0x20 | 0x80 | 0x100 | 0x100_0000 | 0x200_0000 | 0x400_0000;

impl Ending {
    /// Reads Envoy's `response.code_details` and `response.flags`.
    #[must_use]
    pub fn read(details: &str, flags: u64) -> Self {
        match details {
            "via_upstream" | "provider_credential_rejected" => Self::Answered,
            "failed_to_inject_credential" => Self::NeverSent,
            _ if flags & NEVER_SENT != 0 => Self::NeverSent,
            _ => Self::Unknown,
        }
    }
}

impl Meter {
    /// A request whose key is known.
    #[must_use]
    pub fn new(
        attribution: Attribution,
        endpoint: &'static str,
        headers: Headers<'_>,
        started: UnixMs,
    ) -> Self {
        // Whoever puts a key there shall not find it in the records.
        let fits = |text: &str, most: usize| text.len() <= most && !text.contains(PREFIX);
        let short = |name, most| headers.text(name).filter(|text| fits(text, most)).unwrap_or_default();
        let conversation = conversation::id(headers).ok().flatten().unwrap_or_default();
        Self {
            started,
            attribution,
            endpoint,
            request_id: short("x-request-id", LONGEST_REQUEST_ID).to_owned(),
            conversation_id: conversation.to_owned(),
            client_address: None,
            code: None,
            model: String::new(),
            status: 0,
            first_byte: None,
            call: None,
            reader: None,
        }
    }

    /// When its headers came.
    #[must_use]
    pub fn started(&self) -> UnixMs {
        self.started
    }

    /// Notes where it came from.
    pub fn came_from(&mut self, address: Option<IpAddr>) {
        self.client_address = address;
    }

    /// The gateway answers by itself.
    pub fn refused(&mut self, reply: &Reply) {
        self.code = reply.code;
        self.model.clone_from(&reply.model);
    }

    /// The request goes to a provider.
    pub fn forwarded(&mut self, call: Call) {
        self.call = Some(call);
    }

    /// The answer's headers have come. Tells whether its body is to be read.
    pub fn answered(&mut self, status: u16, content_type: Option<&str>) -> bool {
        self.status = status;
        self.reader = self
            .call
            .as_ref()
            .filter(|_| (200..300).contains(&status))
            .map(|call| Reader::new(call.operation, content_type, call.hides_usage()));
        self.reader.is_some()
    }

    /// A chunk of the answer's body has come. It is to be passed on at once, as this says.
    pub fn chunk(&mut self, bytes: &[u8], last: bool, now: impl FnOnce() -> UnixMs) -> Passage {
        if self.first_byte.is_none() && !bytes.is_empty() {
            self.first_byte = Some(now());
        }
        self.reader.as_mut().map_or(Passage::Unchanged, |reader| reader.chunk(bytes, last))
    }

    /// Whether the answer's body is read.
    #[must_use]
    pub fn reads(&self) -> bool {
        self.reader.is_some()
    }

    /// Whether the answer's body may lose bytes on its way.
    #[must_use]
    pub fn hides_usage(&self) -> bool {
        self.call.as_ref().is_some_and(Call::hides_usage)
    }

    /// Whether the answer's headers have come.
    #[must_use]
    pub fn has_status(&self) -> bool {
        self.status != 0
    }

    /// Whether its end needs an [`Ending`]: the answer itself does not tell.
    #[must_use]
    pub fn needs_ending(&self) -> bool {
        self.call.is_some() && self.reader.is_none()
    }

    /// The request is over: settles what was reserved, once, and gives the record.
    pub fn finish<S: Store>(self, store: &S, ending: Ending, now: UnixMs) -> Record {
        let reading = self.reader.as_ref().map(Reader::finish);
        let since = |at: UnixMs| u32::try_from(at.0.saturating_sub(self.started.0)).unwrap_or_default();
        let Attribution { app, key, user, identity, old_secret } = self.attribution;
        let mut record = Record {
            at: self.started,
            request_id: self.request_id,
            app,
            key,
            user,
            identity,
            model: self.model,
            served_model: String::new(),
            provider: String::new(),
            endpoint: self.endpoint,
            status: self.status.into(),
            code: self.code.map(Code::as_str).unwrap_or_default(),
            tokens: Tokens::default(),
            cost: NanoUsd(0),
            price_version: 0,
            settlement: Settlement::None,
            latency_ms: since(now),
            first_token_ms: None,
            streamed: false,
            client_address: self.client_address.map(|address| address.to_string()).unwrap_or_default(),
            conversation_id: self.conversation_id,
            charges: vec![],
            old_secret,
        };
        if let Some(call) = self.call {
            (record.settlement, record.tokens) = call.settle(reading.as_ref(), ending);
            record.cost = call.price.map_or(NanoUsd(0), |price| price.cost(&record.tokens));
            record.price_version = call.price.map_or(0, |price| price.version);
            record.first_token_ms = self.first_byte.map(since);
            record.streamed = call.terms.stream;
            record.model = call.model;
            record.served_model = call.served_model;
            record.provider = call.provider;
            if let Some(reserved) = call.reserved {
                let tokens = record.tokens.input.saturating_add(record.tokens.output);
                let actual = Actual { tokens, cost: record.cost };
                record.charges = account::settle(store, reserved.reservation, actual);
            }
        }
        record
    }
}

impl Call {
    /// Whether the usage chunk was asked for by the gateway, not by the client.
    fn hides_usage(&self) -> bool {
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

#[cfg(test)]
#[path = "metering/tests.rs"]
mod tests;
