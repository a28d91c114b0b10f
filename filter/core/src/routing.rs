//! Which targets of a routing group serve a request, and in which order they are tried.
//!
//! Which may: those of the tier of the request's size that the app may use and that serve the endpoint. In which
//! order: by weight, at random or for a conversation always the same way; those that rest come last.

pub mod cooldown;

mod order;

pub mod shares;

use std::rc::Rc;

use crate::answer::denial::{Code, Denial};
use crate::answer::model_list;
use crate::request::endpoint::ModelOperation;
use crate::snapshot::{AppPolicy, Catalogue, Offer, RoutingBalance, RoutingGroup, RoutingTarget, UnixMs};

use cooldown::Cooldowns;
use order::{conversation_draws, ordered, random_draws};
use shares::TokenShares;

/// Who serves a model's name.
#[derive(Clone, Copy, Debug)]
pub enum Service<'a> {
    Model(&'a Offer),
    Group(&'a Rc<RoutingGroup>),
}

/// What chooses among the targets of a group.
#[derive(Debug)]
pub struct Choice<'a> {
    /// Names the conversation where the group is sticky; empty otherwise.
    pub conversation: &'a str,
    /// Chooses where nothing else does.
    pub random: u64,
    pub cooldowns: &'a Cooldowns,
    pub shares: &'a TokenShares,
    /// The only target, as `provider/model`, that the client asks for.
    pub wanted: Option<&'a str>,
    pub now: UnixMs,
}

/// What has put a target first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChosenBy {
    /// By its weight, at random.
    Requests,
    /// It had the fewest tokens for its weight.
    Tokens,
    /// The conversation stays with it.
    Conversation,
    /// The client asks for it.
    Client,
}

/// Who serves the model or the group of this name: for the app and the operation there is somebody.
///
/// # Errors
/// When there is nobody; the first rule that leaves nobody decides.
pub fn service<'a>(
    catalogue: &'a Catalogue,
    app: &AppPolicy,
    name: &str,
    operation: ModelOperation,
) -> Result<Service<'a>, Denial> {
    let Some(group) = model_list::group(catalogue, app, name) else {
        return model_list::choose(catalogue, app, name, operation).map(Service::Model);
    };
    usable(group.targets(), app, operation)?;
    Ok(Service::Group(group))
}

/// The targets of a group for a request, in the order in which they are tried; at least one.
///
/// # Errors
/// When no target may serve it.
pub fn targets(
    group: &RoutingGroup,
    app: &AppPolicy,
    operation: ModelOperation,
    input_tokens: u64,
    choice: &Choice<'_>,
) -> Result<Vec<Rc<RoutingTarget>>, Denial> {
    let mut targets = usable(group.targets_for(input_tokens), app, operation)?;
    if let Some(wanted) = choice.wanted {
        targets.retain(|target| is_named(target, wanted));
        if targets.is_empty() {
            let message = format!("`{wanted}` is no target of `{}` that serves this request.", group.name);
            return Err(Denial::new(Code::InvalidParameter, message));
        }
        return Ok(targets);
    }
    let (resting, mut ready): (Vec<_>, Vec<_>) =
        targets.into_iter().partition(|target| choice.cooldowns.rests(target, choice.now));
    ready = match choice.conversation {
        "" => ordered(ready, random_draws(choice.random)),
        conversation => ordered(ready, conversation_draws(conversation)),
    };
    if choice.by(group) == ChosenBy::Tokens {
        choice.shares.put_neediest_first(&group.name, &mut ready);
    }
    // Never all at once: those that rest are better than nothing.
    ready.extend(choice.cooldowns.soonest_first(resting));
    Ok(ready)
}

/// The targets that the app may use and that serve the operation.
fn usable<'a>(
    targets: impl IntoIterator<Item = &'a Rc<RoutingTarget>>,
    app: &AppPolicy,
    operation: ModelOperation,
) -> Result<Vec<Rc<RoutingTarget>>, Denial> {
    let allowed = targets.into_iter().filter(|target| model_list::allows_target(app, target));
    let allowed: Vec<_> = allowed.collect();
    if allowed.is_empty() {
        let message = "The app may use none of the models behind this routing group.";
        return Err(Denial::new(Code::ModelNotAllowed, message));
    }
    let serves = |target: &&Rc<RoutingTarget>| model_list::serves(target.offer.provider.kind, operation);
    let serving: Vec<_> = allowed.into_iter().filter(serves).cloned().collect();
    if serving.is_empty() { Err(Code::EndpointNotSupported.into()) } else { Ok(serving) }
}

/// Whether a client means this target: by `provider/model`, or by the provider alone.
fn is_named(target: &RoutingTarget, wanted: &str) -> bool {
    let provider = target.offer.provider.name.as_str();
    let rest = wanted.strip_prefix(provider);
    rest == Some("") || rest.and_then(|rest| rest.strip_prefix('/')) == Some(&target.model)
}

impl Choice<'_> {
    /// What puts a target of this group first.
    #[must_use]
    pub fn by(&self, group: &RoutingGroup) -> ChosenBy {
        match group.balance {
            _ if self.wanted.is_some() => ChosenBy::Client,
            _ if !self.conversation.is_empty() => ChosenBy::Conversation,
            RoutingBalance::Requests => ChosenBy::Requests,
            RoutingBalance::Tokens => ChosenBy::Tokens,
        }
    }
}

#[cfg(test)]
mod tests;
