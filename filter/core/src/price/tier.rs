//! Which tier serves a request. The body may choose it (`service_tier`, Anthropic's `speed` and
//! `inference_geo`), and the answer says which one it was.

use super::{Price, RateCard};

/// The body's choice of tier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TierChoice {
    pub service_tier: Option<String>,
    pub speed: Option<String>,
    pub inference_geo: Option<String>,
    /// Whether it may ask for a cache that is kept for an hour or longer.
    pub long_cache: bool,
}

/// The tier that served, as the answer says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServedTier {
    pub service_tier: Option<String>,
    pub speed: Option<String>,
    pub inference_geo: Option<String>,
}

/// A tier that has no price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnpricedTier {
    /// The member that chooses it.
    pub member: &'static str,
    /// Its name in a price.
    pub tier: String,
}

/// The members that choose, in this order.
const MEMBERS: [&str; 3] = ["service_tier", "speed", "inference_geo"];

/// Tiers that serve only requests that ask for them.
const ASKED_FOR: [&str; 3] = ["batch", "flex", "ultrafast"];

/// Longest tier name in a record.
const LONGEST: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
enum TierMember {
    /// The provider chooses.
    Nothing,
    /// Costs no more than usual.
    Standard,
    /// A tier with its own price, by its name there.
    Tier(String),
}

impl TierMember {
    fn read(member: &str, value: Option<&str>) -> Self {
        let Some(value) = value.map(str::to_ascii_lowercase) else { return Self::Nothing };
        match (member, value.as_str()) {
            ("service_tier", "auto") => Self::Nothing,
            ("service_tier", "default" | "standard" | "standard_only" | "on_demand")
            | ("speed", "standard")
            | ("inference_geo", "global" | "not_available") => Self::Standard,
            ("service_tier", _) => Self::Tier(value),
            (member, _) => Self::Tier(format!("{member}={value}")),
        }
    }

    fn tier(self) -> Option<String> {
        match self {
            Self::Tier(name) => Some(name),
            Self::Nothing | Self::Standard => None,
        }
    }
}

impl TierChoice {
    fn members(&self) -> [TierMember; 3] {
        let Self { service_tier, speed, inference_geo, long_cache: _ } = self;
        read([service_tier, speed, inference_geo])
    }
}

impl ServedTier {
    fn members(&self) -> [TierMember; 3] {
        let Self { service_tier, speed, inference_geo } = self;
        read([service_tier, speed, inference_geo])
    }

    /// The tier for a record: as the answer says, or else as the body asked.
    #[must_use]
    pub fn record(&self, choice: &TierChoice) -> String {
        let members = self.members().into_iter().zip(choice.members());
        let named: Vec<_> = members
            .filter_map(|(served, chosen)| match served {
                TierMember::Nothing => chosen.tier(),
                served => served.tier(),
            })
            .collect();
        let name = match named.is_empty() {
            true => self.service_tier.as_deref().unwrap_or_default().to_ascii_lowercase(),
            false => named.join(","),
        };
        let is_name = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'=' | b',');
        match name.len() <= LONGEST && name.bytes().all(is_name) {
            true => name,
            false => "unknown".to_owned(),
        }
    }
}

/// All cards that may be billed to a request.
pub(super) fn possible<'p>(price: &'p Price, choice: &TierChoice) -> Result<Vec<&'p RateCard>, UnpricedTier> {
    let members = choice.members();
    let mut cards = vec![&price.standard];
    if members.first() == Some(&TierMember::Nothing) {
        // A project's settings may choose.
        let may_serve = |name: &str| !name.contains('=') && !ASKED_FOR.contains(&name);
        cards.extend(price.tiers.iter().filter(|tier| may_serve(&tier.name)).map(|tier| &tier.card));
    }
    let mut chosen =
        MEMBERS.into_iter().zip(members).filter_map(|(name, member)| Some((name, member.tier()?)));
    if let Some((member, tier)) = chosen.next() {
        let card = price.tier(&tier);
        cards.push(card.ok_or(UnpricedTier { member, tier })?);
    }
    match chosen.next() {
        // Two of them may multiply.
        Some((member, tier)) => Err(UnpricedTier { member, tier }),
        None => Ok(cards),
    }
}

/// The cards that may have been billed; none where one has no price. A choice that the answer does not
/// confirm may or may not have been served.
pub(super) fn billed<'p>(
    price: &'p Price,
    choice: &TierChoice,
    served: &ServedTier,
) -> Option<Vec<&'p RateCard>> {
    let (mut confirmed, mut chosen) = (vec![], vec![]);
    for (served, choice) in served.members().into_iter().zip(choice.members()) {
        match served {
            TierMember::Nothing => chosen.extend(choice.tier()),
            served => confirmed.extend(served.tier()),
        }
    }
    let mut cards = chosen.iter().map(|name| price.tier(name)).collect::<Option<Vec<_>>>()?;
    match (confirmed.as_slice(), cards.len()) {
        ([], 0 | 1) => cards.push(&price.standard),
        ([name], 0) => cards.push(price.tier(name)?),
        // Two of them may multiply.
        _ => return None,
    }
    Some(cards)
}

fn read(values: [&Option<String>; 3]) -> [TierMember; 3] {
    let mut members = MEMBERS.into_iter();
    values.map(|value| TierMember::read(members.next().unwrap_or_default(), value.as_deref()))
}
