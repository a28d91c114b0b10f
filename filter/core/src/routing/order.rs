//! Orders targets by weight.

use std::rc::Rc;

use sha2::{Digest as _, Sha256};

use crate::snapshot::RoutingTarget;

/// A number for each target, evenly spread.
type Draws<'a> = Box<dyn Fn(usize, &RoutingTarget) -> u64 + 'a>;

/// In a new order with each `random`.
pub(super) fn random_draws(random: u64) -> Draws<'static> {
    Box::new(move |at, _| split_mix(random, u64::try_from(at).unwrap_or_default()))
}

/// In one order for each conversation. Where a target joins or leaves, the others stay as they are
/// (rendezvous hashing).
pub(super) fn conversation_draws(conversation: &str) -> Draws<'_> {
    Box::new(move |_, target| {
        let mut hash = Sha256::new();
        for part in [conversation, &target.offer.provider.name, &target.model] {
            hash.update(part);
            hash.update([0]);
        }
        hash.finalize().first_chunk().copied().map(u64::from_le_bytes).unwrap_or_default()
    })
}

/// Each target is first as often as its weight says, and so on among the rest. Those without weight come last, as
/// they are listed.
pub(super) fn ordered(targets: Vec<Rc<RoutingTarget>>, draws: Draws<'_>) -> Vec<Rc<RoutingTarget>> {
    let timed = |(at, target): (usize, Rc<RoutingTarget>)| (time(draws(at, &target), target.weight), target);
    let mut timed: Vec<_> = targets.into_iter().enumerate().map(timed).collect();
    timed.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    timed.into_iter().map(|(_, target)| target).collect()
}

/// When a target's turn comes, if turns come at random with this rate: the first of several is this one with a
/// probability of its weight's share.
fn time(draw: u64, weight: u32) -> f64 {
    /// Of the numbers below 1 that are told apart.
    const STEPS: f64 = 9_007_199_254_740_992.0;
    if weight == 0 {
        return f64::INFINITY;
    }
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let even = ((draw >> 11) as f64 + 0.5) / STEPS;
    -even.ln() / f64::from(weight)
}

/// One number of many from one seed.
fn split_mix(seed: u64, at: u64) -> u64 {
    let mut mixed = seed.wrapping_add(at.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
