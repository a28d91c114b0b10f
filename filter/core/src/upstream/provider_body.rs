//! A model call's body as its provider gets it: another model's name, a limit of the output, the wish for usage.

use std::borrow::Cow;

use crate::answer::denial::{Code, Denial};
use crate::request::body::{self, BodyEdit, RequestBody};
use crate::request::endpoint::ModelOperation;
use crate::snapshot::Offer;

/// The provider's body, where it differs from the client's. `max_output` is in tokens per answer; none where the
/// client's limit stays.
///
/// # Errors
/// When `bytes` is not the body that was read.
pub fn provider_body<'b>(
    operation: ModelOperation,
    bytes: impl FnOnce() -> &'b [u8],
    body: &RequestBody,
    offer: &Offer,
    max_output: Option<u64>,
) -> Result<Option<Vec<u8>>, Denial> {
    let changes = changes(operation, body, offer, max_output);
    if changes.is_empty() {
        return Ok(None);
    }
    match body.edit(bytes(), &changes).ok_or(Code::InternalError)? {
        Cow::Borrowed(_) => Ok(None),
        Cow::Owned(edited) => Ok(Some(edited)),
    }
}

/// Whether the provider's body may differ from the client's.
#[must_use]
pub fn may_differ(
    operation: ModelOperation,
    body: &RequestBody,
    offer: &Offer,
    max_output: Option<u64>,
) -> bool {
    !changes(operation, body, offer, max_output).is_empty()
}

fn changes<'o>(
    operation: ModelOperation,
    body: &RequestBody,
    offer: &'o Offer,
    max_output: Option<u64>,
) -> Vec<BodyEdit<'o>> {
    let only = offer.output_limit.filter(|_| operation == ModelOperation::ChatCompletions);
    let member = only.or(body::max_output_member(operation, offer.provider.kind));
    let changes = [
        (offer.upstream_name != body.model).then_some(BodyEdit::Model(&offer.upstream_name)),
        max_output.zip(member).map(|(tokens, member)| match only {
            Some(_) => BodyEdit::OnlyMaxOutput { member, tokens },
            None => BodyEdit::MaxOutput { member, tokens },
        }),
        (offer.stream_options && body.bounds.must_ask_for_usage(operation)).then_some(BodyEdit::IncludeUsage),
    ];
    changes.into_iter().flatten().collect()
}
