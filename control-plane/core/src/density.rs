//! How many bytes of text a model's tokens have: measured from what providers report, for windows of
//! tokens. Budgets do not rely on it: they count a token per byte until the provider has told.

use std::collections::BTreeMap;

use latchkey_proto::density::BYTES_PER_TOKEN;
pub use latchkey_proto::ledger::Text;

/// What kind of text a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TextKind {
    /// Nearly all of it is ASCII.
    Ascii,
    /// Most of it is beyond.
    Other,
}

/// How dense one request was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Of which kind it was.
    pub kind: TextKind,
    /// Eighths of a byte per token, rounded down.
    pub eighths: u64,
    /// Its bytes of that kind.
    pub bytes: u64,
    /// The tokens that they had.
    pub tokens: u64,
}

/// Samples of the same density.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bin {
    pub samples: u64,
    pub bytes: u64,
    pub tokens: u64,
}

/// All samples of one kind, by eighths of a byte per token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DensityHistogram(pub BTreeMap<u64, Bin>);

/// What gateways count with, in thousandths of a byte per token; none where too little is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Density {
    pub ascii: Option<u32>,
    pub other: Option<u32>,
}

/// How good a measurement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quality {
    /// How many requests were compared.
    pub samples: u64,
    /// Thousandths of a byte per token, on average.
    pub mean: u32,
    /// How many of ten thousand requests had more tokens than are counted with this density.
    pub beyond: u32,
    /// How many tokens are counted for ten thousand reported, on average.
    pub counted: u32,
}

impl TextKind {
    pub const ALL: [Self; 2] = [Self::Ascii, Self::Other];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ascii => "ascii",
            Self::Other => "other",
        }
    }
}

pub const LEAST_SAMPLES: u64 = 100;
/// One in so many requests may have more tokens than are counted.
const BEYOND_ONE_IN: u64 = 20;
/// What is denser or sparser is counted with these.
const EXTREMES: (u64, u64) = (8, 128);
/// ASCII within other text is taken to be as sparse as it ever is: so more tokens are of the other.
const SPARSEST_ASCII: u64 = 4;

impl Sample {
    /// The sample that a request gives, if it is plainly of one kind.
    #[must_use]
    pub fn of(text: Text, input_tokens: u64) -> Option<Self> {
        let Text { ascii, other } = text;
        let bytes = ascii.saturating_add(other);
        let (kind, bytes, tokens) = if other.saturating_mul(50) <= bytes {
            (TextKind::Ascii, bytes, input_tokens)
        } else if other >= ascii {
            (TextKind::Other, other, input_tokens.saturating_sub(ascii / SPARSEST_ASCII))
        } else {
            return None;
        };
        let eighths = bytes.saturating_mul(8).checked_div(tokens)?.clamp(EXTREMES.0, EXTREMES.1);
        Some(Self { kind, eighths, bytes, tokens })
    }
}

impl DensityHistogram {
    pub fn add(&mut self, sample: Sample) {
        let bin = self.0.entry(sample.eighths).or_default();
        bin.samples = bin.samples.saturating_add(1);
        bin.bytes = bin.bytes.saturating_add(sample.bytes);
        bin.tokens = bin.tokens.saturating_add(sample.tokens);
    }

    /// How many samples there are.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.0.values().fold(0, |sum, bin| sum.saturating_add(bin.samples))
    }

    /// So many thousandths of a byte per token that nineteen of twenty requests had as many or more; none
    /// where there are too few samples.
    #[must_use]
    pub fn bytes_per_token(&self) -> Option<u32> {
        let samples = self.samples();
        if samples < LEAST_SAMPLES {
            return None;
        }
        let mut denser = 0_u64;
        let within = self.0.iter().find(|(_, bin)| {
            denser = denser.saturating_add(bin.samples);
            denser.saturating_mul(BEYOND_ONE_IN) > samples
        });
        let measured = within.and_then(|(eighths, _)| u32::try_from(eighths.saturating_mul(125)).ok());
        let (least, most) = BYTES_PER_TOKEN.into_inner();
        Some(measured.unwrap_or(least).clamp(least, most))
    }

    /// How good `bytes_per_token` is, by these samples; none where there are none.
    #[must_use]
    pub fn quality(&self, bytes_per_token: u32) -> Option<Quality> {
        let all = self.0.values().fold(Bin::default(), |sum, bin| Bin {
            samples: sum.samples.saturating_add(bin.samples),
            bytes: sum.bytes.saturating_add(bin.bytes),
            tokens: sum.tokens.saturating_add(bin.tokens),
        });
        let denser = self.0.range(..u64::from(bytes_per_token) / 125);
        let beyond = denser.fold(0_u64, |sum, (_, bin)| sum.saturating_add(bin.samples));
        let share = |part: u64, whole: u64, of: u128| -> Option<u32> {
            let share = u128::from(part).checked_mul(of)?.checked_div(u128::from(whole))?;
            u32::try_from(share).ok()
        };
        let mean = share(all.bytes, all.tokens, 1_000)?;
        let counted = u128::from(mean).checked_mul(10_000)?.checked_div(u128::from(bytes_per_token))?;
        Some(Quality {
            samples: all.samples,
            mean,
            beyond: share(beyond, all.samples, 10_000)?,
            counted: u32::try_from(counted).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn histogram(samples: &[(u64, u64)]) -> DensityHistogram {
        let mut histogram = DensityHistogram::default();
        for (ascii, tokens) in samples {
            histogram.add(Sample::of(Text { ascii: *ascii, other: 0 }, *tokens).unwrap());
        }
        histogram
    }

    #[test]
    fn a_request_of_both_kinds_says_nothing() {
        let kind = |ascii, other| Sample::of(Text { ascii, other }, 500).map(|sample| sample.kind);
        assert_eq!(kind(1_000, 0), Some(TextKind::Ascii));
        assert_eq!(kind(980, 20), Some(TextKind::Ascii));
        assert_eq!(kind(900, 100), None);
        assert_eq!(kind(500, 500), Some(TextKind::Other));
        assert_eq!(Sample::of(Text { ascii: 1_000, other: 0 }, 0), None, "nothing was reported");
    }

    #[test]
    fn ascii_in_other_text_makes_the_other_denser() {
        let sample = Sample::of(Text { ascii: 400, other: 1_200 }, 700).unwrap();
        assert_eq!((sample.bytes, sample.tokens, sample.eighths), (1_200, 600, 16));
    }

    #[test]
    fn few_samples_say_nothing() {
        assert_eq!(histogram(&[(4_000, 1_000); 99]).bytes_per_token(), None);
        assert_eq!(histogram(&[(4_000, 1_000); 100]).bytes_per_token(), Some(4_000));
    }

    #[test]
    fn one_in_twenty_may_be_denser_and_that_is_said() {
        let mut samples = vec![(3_500, 1_000); 95];
        samples.extend([(1_500, 1_000); 5]);
        let measured = histogram(&samples);
        let density = measured.bytes_per_token().unwrap();
        assert_eq!(density, 3_500);
        let quality = measured.quality(density).unwrap();
        assert_eq!((quality.samples, quality.beyond, quality.mean), (100, 500, 3_400));
        assert_eq!(quality.counted, 9_714, "3% fewer than were reported, on average");
        samples.push((1_500, 1_000));
        assert_eq!(histogram(&samples).bytes_per_token(), Some(1_500), "more than one in twenty");
    }

    #[test]
    fn it_is_bounded() {
        assert_eq!(histogram(&[(10_000, 1_000); 200]).bytes_per_token(), Some(4_000));
        assert_eq!(histogram(&[(500, 1_000); 200]).bytes_per_token(), Some(1_000));
    }

    proptest! {
        #[test]
        fn at_most_one_in_twenty_is_beyond(samples in prop::collection::vec((1_000_u64..100_000, 300_u64..90_000), 100..300)) {
            let measured = histogram(&samples);
            let density = u64::from(measured.bytes_per_token().unwrap());
            // What is denser than a token per byte no text is.
            let beyond = samples.iter().filter(|(bytes, tokens)| {
                bytes >= tokens && bytes * 1_000 < tokens * density
            });
            prop_assert!(beyond.count() * 20 <= samples.len());
        }
    }
}
