//! Follows one request from its headers to its record: what the provider answers, what it used, and how the
//! exchange ended.

mod charge;

use std::net::{IpAddr, SocketAddr};

use crate::answer::denial::{Code, Denial};
use crate::answer::reply::{Attribution, Reply};
use crate::answer::usage::{AnswerHead, ChunkAction, UsageReader, is_event_stream};
use crate::guardrails::InspectionReport;
use crate::price::{NanoUsd, TokenUsage};
use crate::prompts::UsedPrompts;
use crate::record::{Record, Settlement};
use crate::request::conversation;
use crate::request::header::Headers;
use crate::snapshot::UnixMs;
use crate::store::SharedStore;
use crate::upstream::attempts::SharedAttempts;
use crate::upstream::call::UpstreamCall;
use crate::upstream::redirect::Redirect;

/// The longest request id to record.
const LONGEST_REQUEST_ID: usize = 128;

/// One request with a known key.
#[derive(Debug)]
pub struct RequestMeter {
    started: UnixMs,
    attribution: Attribution,
    endpoint: &'static str,
    request_id: String,
    conversation_id: String,
    client_address: Option<IpAddr>,
    code: Option<Code>,
    /// The model that a refused request asked for.
    model: String,
    /// The provider that would have served it.
    provider: String,
    status: u16,
    first_byte: Option<UnixMs>,
    call: Option<UpstreamCall>,
    reader: Option<UsageReader>,
    /// The answer is an MCP server's event stream.
    streamed: bool,
    redirected: bool,
    inspection: Option<Box<InspectionReport>>,
    prompts: Vec<String>,
}

/// How the exchange with the provider ended, as far as Envoy tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamOutcome {
    /// The provider answered.
    Answered,
    /// Nothing reached the provider.
    NeverSent,
    /// There was nobody to ask: no cluster, or no host of it.
    NoHost,
    /// A circuit breaker is open: nothing reached the provider. Of a routing group: how many tries Envoy has made, with
    /// that one; none where it does not say.
    Overflow(Option<u64>),
    /// The request was sent, and what came of it is not known: a timeout, a reset, or a client that went
    /// away.
    Unknown,
}

/// Envoy's response flags for requests that were never sent. Not OM, of the overload manager: it also resets
/// requests that were sent. UH, NR, NC and DF:
const NO_HOST: u64 = 0x2 | 0x100 | 0x100_0000 | 0x400_0000;
/// UF.
const NOT_CONNECTED: u64 = 0x20;
/// UO.
const OVERFLOW: u64 = 0x80;

/// The beginning of `response.code_details` where the provider's address is one that clusters must not
/// connect to.
const OUT_OF_REACH: &str = "rbac_access_denied_matched_policy";

impl UpstreamOutcome {
    /// Reads Envoy's `response.code_details` and `response.flags`.
    #[must_use]
    pub fn read(details: &str, flags: u64) -> Self {
        match details {
            "via_upstream" | "provider_credential_rejected" => Self::Answered,
            "failed_to_inject_credential" => Self::NeverSent,
            _ if details.starts_with(OUT_OF_REACH) => Self::NeverSent,
            _ if flags & NO_HOST != 0 => Self::NoHost,
            _ if flags & NOT_CONNECTED != 0 => Self::NeverSent,
            _ if flags & OVERFLOW != 0 => Self::Overflow(None),
            _ => Self::Unknown,
        }
    }

    /// The same of a request of a routing group. `was_connected`: its last try got as far as a connection, without which
    /// nothing is sent. Envoy's flags tell of timeouts, not of what they have ended. `made`: Envoy's
    /// `upstream.request_attempt_count`.
    #[must_use]
    pub fn of_last_try(self, was_connected: bool, made: Option<u64>) -> Self {
        match self {
            Self::Unknown if !was_connected => Self::NeverSent,
            // There was no retry.
            Self::Overflow(_) if was_connected => Self::Unknown,
            Self::Overflow(_) => Self::Overflow(made),
            other => other,
        }
    }
}

/// Whether a try may have had a connection, by Envoy's `upstream.local_address`, `upstream.address` and
/// `response.flags`. Without a connection there is no local address, but of Unix sockets and internal listeners Envoy
/// knows none either: a host that is no IP address counts as connected to, unless its connection is known to have failed.
#[must_use]
pub fn may_have_connected(local: Option<&str>, host: Option<&str>, flags: impl FnOnce() -> u64) -> bool {
    if local.is_some_and(|address| !address.is_empty()) {
        return true;
    }
    // Envoy names the host once it has a connection to it, has failed to get one, or was kept from it by an open
    // circuit breaker. The last is charged as sent: its flag tells nothing of a try, since it may be of the next.
    let Some(host) = host.filter(|host| !host.is_empty()) else { return false };
    host.parse::<SocketAddr>().is_err() && flags() & NOT_CONNECTED == 0
}

impl RequestMeter {
    /// A request whose key is known.
    #[must_use]
    pub fn new(
        attribution: Attribution,
        endpoint: &'static str,
        headers: Headers<'_>,
        started: UnixMs,
    ) -> Self {
        let id = headers.text("x-request-id").filter(|id| id.len() <= LONGEST_REQUEST_ID);
        let conversation = conversation::id(headers).ok().flatten().unwrap_or_default();
        Self {
            started,
            attribution,
            endpoint,
            request_id: id.unwrap_or_default().to_owned(),
            conversation_id: conversation.to_owned(),
            client_address: None,
            code: None,
            model: String::new(),
            provider: String::new(),
            status: 0,
            first_byte: None,
            call: None,
            reader: None,
            streamed: false,
            redirected: false,
            inspection: None,
            prompts: Vec::new(),
        }
    }

    pub fn came_from(&mut self, address: Option<IpAddr>) {
        self.client_address = address;
    }

    /// The gateway answers.
    pub fn refused(&mut self, reply: &Reply) {
        self.code = reply.code;
        self.model.clone_from(&reply.model);
        self.provider.clone_from(&reply.provider);
        self.inspection.clone_from(&reply.inspection);
    }

    /// Stored prompts have taken the place of references.
    pub fn expanded(&mut self, UsedPrompts(prompts): UsedPrompts) {
        self.prompts = prompts;
    }

    /// Guardrails have looked at the request, and at its answer as far as it came.
    pub fn inspected(&mut self, report: InspectionReport) {
        self.inspection = Some(Box::new(report));
    }

    /// The gateway has ended the answer.
    pub fn cut(&mut self, code: Code) {
        self.code = Some(code);
    }

    /// The gateway gives another answer than the provider, which has answered.
    pub fn replaced(&mut self, reply: &Reply) {
        self.status = reply.status;
        self.code = reply.code;
    }

    /// The request goes to a provider or an MCP server.
    pub fn forwarded(&mut self, call: UpstreamCall) {
        self.call = Some(call);
    }

    /// What to do with an answer that redirects: it did no work.
    pub fn redirect(&mut self, status: u16, headers: Headers<'_>) -> Option<Redirect> {
        let redirect = Redirect::of(status, headers, self.call.as_ref()?)?;
        self.redirected = true;
        self.status = redirect.reply.status;
        self.code = redirect.reply.code;
        Some(redirect)
    }

    /// Envoy has no route for routing groups, so nobody was asked. Gives what the client gets instead.
    pub fn unrouted(&mut self) -> Option<Reply> {
        let Some(UpstreamCall::Model(call)) = &mut self.call else { return None };
        call.attempts = None;
        let reply = Denial::from(Code::GroupNotRouted).reply(call.operation.client_api());
        self.status = reply.status;
        self.code = reply.code;
        Some(reply)
    }

    /// The tries of a call of a routing group; none of any other.
    #[must_use]
    pub fn attempts(&self) -> Option<&SharedAttempts> {
        self.call.as_ref()?.attempts()
    }

    /// The answer of a try has come: takes over whom it asked.
    pub fn follow_attempts(&mut self) {
        if let Some(UpstreamCall::Model(call)) = &mut self.call {
            call.follow_attempts();
        }
    }

    /// None where the gateway answers.
    #[must_use]
    pub fn call(&self) -> Option<&UpstreamCall> {
        self.call.as_ref()
    }

    /// The same, where nothing is to be recorded.
    #[must_use]
    pub fn into_call(self) -> Option<UpstreamCall> {
        self.call
    }

    /// The answer's headers have come. Tells whether its body must be read.
    pub fn answered(&mut self, status: u16, head: AnswerHead<'_>) -> bool {
        self.status = status;
        self.follow_attempts();
        match &self.call {
            Some(UpstreamCall::Model(call)) if (200..300).contains(&status) => {
                self.reader = Some(UsageReader::new(call.asked(), head));
            }
            Some(UpstreamCall::Mcp(_)) => self.streamed = head.content_type.is_some_and(is_event_stream),
            _ => self.reader = None,
        }
        self.reader.is_some()
    }

    /// The first byte of the answer's body has come.
    pub fn begins(&mut self, now: impl FnOnce() -> UnixMs) {
        self.first_byte.get_or_insert_with(now);
    }

    /// A chunk of the answer's body has come. It is passed on at once, as the result says.
    pub fn chunk(&mut self, bytes: &[u8], last: bool, now: impl FnOnce() -> UnixMs) -> ChunkAction {
        if !bytes.is_empty() {
            self.begins(now);
        }
        self.reader.as_mut().map_or(ChunkAction::Pass, |reader| reader.chunk(bytes, last))
    }

    /// Whether the answer's body is read for its usage.
    #[must_use]
    pub fn reads(&self) -> bool {
        self.reader.is_some()
    }

    /// Whether the usage chunk is taken out of the answer.
    #[must_use]
    pub fn hides_usage(&self) -> bool {
        matches!(&self.call, Some(UpstreamCall::Model(call)) if call.hides_usage())
    }

    #[must_use]
    pub fn has_status(&self) -> bool {
        self.status != 0
    }

    /// Whether [`RequestMeter::finish`] needs to know how the exchange ended: the answer itself does not
    /// tell.
    #[must_use]
    pub fn needs_outcome(&self) -> bool {
        matches!(self.call, Some(UpstreamCall::Model(_))) && self.reader.is_none() && !self.redirected
    }

    /// Whether the gateway answers, and nobody else was asked.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.call.is_none()
    }

    /// The request is over, or its client went away: settles the reservation and gives the record.
    pub fn finish<S: SharedStore>(self, store: &S, outcome: UpstreamOutcome, now: UnixMs) -> Record {
        let reading = self.reader.as_ref().map(UsageReader::finish);
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
            provider: self.provider,
            endpoint: self.endpoint,
            status: self.status.into(),
            code: self.code.map(Code::as_str).unwrap_or_default(),
            tokens: TokenUsage::default(),
            cost: NanoUsd(0),
            price_version: 0,
            settlement: Settlement::None,
            settlement_reason: None,
            latency_ms: since(now),
            first_token_ms: None,
            streamed: false,
            client_address: self.client_address.map(|address| address.to_string()).unwrap_or_default(),
            conversation_id: self.conversation_id,
            charges: vec![],
            old_secret,
            service_tier: String::new(),
            output_cut: None,
            text: None,
            inspection: self.inspection,
            prompts: self.prompts,
            attempts: vec![],
        };
        match self.call {
            Some(UpstreamCall::Model(mut call)) => {
                record.first_token_ms = self.first_byte.map(since);
                let outcome = call.end_attempts(outcome, self.status, self.reader.is_some(), store, now);
                record.attempts =
                    call.attempts.as_ref().map(|it| it.borrow().records(now)).unwrap_or_default();
                call.finish(&mut record, reading.as_ref(), outcome, store);
            }
            Some(UpstreamCall::Mcp(call)) => call.finish(&mut record, self.streamed, store),
            None => {}
        }
        record
    }
}

#[cfg(test)]
mod tests;
