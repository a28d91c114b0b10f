use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DEAREST, Multiplier, Rates};
use crate::invalid::Invalid;

/// What a service tier costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Tier {
    /// So many times as much as the standard tier, whatever the length of the input.
    Multiplied {
        /// How many times.
        multiplier: Multiplier,
    },
    /// Rates of its own; a long input costs as many times more as in the standard tier.
    Own(Rates),
}

/// The most tiers of one price.
const MOST: usize = 16;
/// The longest name of a tier.
const LONGEST: usize = 64;
/// What `service_tier` calls the standard tier, or leaves to the provider.
const STANDARD: [&str; 5] = ["auto", "default", "standard", "standard_only", "on_demand"];
/// Members of a body that choose a price besides `service_tier`.
const MEMBERS: [&str; 2] = ["speed", "inference_geo"];

impl Tier {
    /// What it costs where the standard tier costs this.
    #[must_use]
    pub fn rates(&self, standard: &Rates) -> Rates {
        match self {
            Self::Multiplied { multiplier } => standard.map(|rate| multiplier.of(rate)),
            Self::Own(rates) => *rates,
        }
    }

    /// What a long input costs in it where it costs `long` in the standard tier.
    pub(super) fn long_rates(&self, standard: &Rates, long: &Rates) -> Rates {
        match self {
            Self::Multiplied { multiplier } => long.map(|rate| multiplier.of(rate)),
            Self::Own(rates) => rates.in_proportion(long, standard),
        }
    }
}

/// Notes what is wrong with the names and prices of tiers.
pub(super) fn check(tiers: &BTreeMap<String, Tier>, standard: &Rates, path: &str, invalid: &mut Invalid) {
    if tiers.len() > MOST {
        invalid.check::<(), _>(path, Err(format!("must be at most {MOST} tiers")));
    }
    for (name, tier) in tiers {
        let path = format!("{path}.{name}");
        invalid.check(&path, check_name(name));
        match tier {
            Tier::Own(rates) => rates.check(&path, invalid),
            Tier::Multiplied { multiplier } => {
                let dearest = standard.named().map(|(_, rate)| multiplier.of(rate));
                if dearest.into_iter().any(|rate| rate > DEAREST) {
                    let message = format!("results in more than {DEAREST} US dollars per million tokens");
                    invalid.check::<(), _>(&format!("{path}.multiplier"), Err(message));
                }
            }
        }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let plain = |text: &str| {
        let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.');
        (1..=LONGEST).contains(&text.len()) && text.bytes().all(is_plain)
    };
    let is_name = match name.split_once('=') {
        Some((member, value)) => MEMBERS.contains(&member) && plain(value),
        None => plain(name),
    };
    if !is_name {
        return Err("is not a valid tier name: use a lowercase value of `service_tier`, or `speed=fast` or `inference_geo=us`"
            .to_owned());
    }
    if STANDARD.contains(&name) {
        return Err("is the standard tier: set its prices next to `tiers`".to_owned());
    }
    Ok(())
}
