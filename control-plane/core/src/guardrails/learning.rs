//! Learns categories from examples: a linear model over the words and letters of sentences.
//!
//! The same examples give the same model everywhere: only additions, multiplications, divisions and roots are used,
//! which are exact in the same way on all platforms, and examples are visited in one order.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use latchkey_guardrails::custom::learned::{BUCKETS, FORMAT, Model, sentences};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The fewest examples of each side.
pub(crate) const FEWEST_EXAMPLES: usize = 20;
/// What a category must have been measured with before a rule of it may redact or block, in percent.
const LEAST_PRECISION: u8 = 90;
const LEAST_RECALL: u8 = 50;

const FOLDS: usize = 5;
const ROUNDS: u16 = 30;

/// What was learned from a category's examples. It is made by the control plane: what is sent has no effect.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LearnedCategory {
    /// Of the examples that it found when it had not learned from them, how many were of the category, in percent.
    pub precision_percent: u8,
    /// Of the category's examples, how many it found when it had not learned from them, in percent.
    pub recall_percent: u8,
    /// How features are made.
    pub format: u32,
    /// Added to the sum of the weights.
    pub bias: i32,
    /// A signed byte for each feature, in base64.
    pub weights: String,
}

/// The weights would hide everything else.
impl std::fmt::Debug for LearnedCategory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { precision_percent, recall_percent, format, bias, weights: _ } = self;
        f.debug_struct("LearnedCategory")
            .field("precision_percent", precision_percent)
            .field("recall_percent", recall_percent)
            .field("format", format)
            .field("bias", bias)
            .finish_non_exhaustive()
    }
}

impl LearnedCategory {
    /// Learns what tells the examples from the others, and measures that: each fifth of them is judged by what was
    /// learned from the other four.
    pub(crate) fn learn(examples: &[String], others: &[String]) -> Self {
        let set = |texts: &[String], is_of_category| {
            let read = |text: &String| Example { sentences: sentences(text), is_of_category };
            texts.iter().map(read).collect::<Vec<_>>()
        };
        let (examples, others) = (set(examples, true), set(others, false));
        let (mut found, mut wrong) = (0_usize, 0_usize);
        for fold in 0..FOLDS {
            let part = |held_out: bool| -> Vec<&Example> {
                let sides = examples.iter().enumerate().chain(others.iter().enumerate());
                let kept = sides.filter(|(i, _)| (i % FOLDS == fold) == held_out);
                kept.map(|(_, example)| example).collect()
            };
            let learned_from = part(false);
            let model = Weights::learned(&learned_from).cautious(&learned_from).quantized();
            for example in part(true).into_iter().filter(|example| model.matches_any(&example.sentences)) {
                match example.is_of_category {
                    true => found += 1,
                    false => wrong += 1,
                }
            }
        }
        let all: Vec<_> = examples.iter().chain(&others).collect();
        let model = Weights::learned(&all).cautious(&all).quantized();
        let bytes: Vec<u8> = model.weights.iter().map(|weight| weight.to_be_bytes()[0]).collect();
        Self {
            precision_percent: percent(found, found + wrong),
            recall_percent: percent(found, examples.len()),
            format: FORMAT,
            bias: model.bias,
            weights: BASE64_STANDARD.encode(bytes),
        }
    }

    /// The weights as gateways get them; none where they are damaged.
    #[must_use]
    pub fn weight_bytes(&self) -> Option<Vec<u8>> {
        BASE64_STANDARD.decode(&self.weights).ok().filter(|weights| weights.len() == BUCKETS)
    }

    /// Refuses a rule that redacts or blocks where too much was wrong or missed.
    pub(super) fn good_enough(&self, name: &str) -> Result<(), String> {
        let Self { precision_percent: precision, recall_percent: recall, .. } = self;
        if *precision >= LEAST_PRECISION && *recall >= LEAST_RECALL {
            return Ok(());
        }
        Err(format!(
            "`{name}` was learned from examples with {precision}% precision and {recall}% recall; redacting \
             and blocking require {LEAST_PRECISION}% and {LEAST_RECALL}%: monitor it, or add more and \
             clearer examples"
        ))
    }
}

/// Whether something can be learned from an example.
pub(crate) fn is_readable(example: &str) -> bool {
    !sentences(example).is_empty()
}

/// Rounded down: nothing is called better than it is.
fn percent(part: usize, whole: usize) -> u8 {
    u8::try_from((part * 100).checked_div(whole).unwrap_or(0)).unwrap_or(100)
}

struct Example {
    sentences: Vec<Vec<u16>>,
    is_of_category: bool,
}

/// Weights that are being learned.
struct Weights {
    weights: Vec<f32>,
    bias: f32,
}

struct Quantized {
    weights: Vec<i8>,
    bias: i32,
}

impl Weights {
    /// By stochastic gradient descent over the logistic loss, its curve made of a division. Each side weighs the same,
    /// and so does each example of a side, whatever its length.
    fn learned(examples: &[&Example]) -> Self {
        let of_category = examples.iter().filter(|example| example.is_of_category).count();
        let sides = [examples.len() - of_category, of_category];
        let mut this = Self { weights: vec![0.0; BUCKETS], bias: 0.0 };
        let mut order: Vec<usize> = (0..examples.len()).collect();
        let mut random = 1;
        for round in 0..ROUNDS {
            shuffle(&mut order, &mut random);
            let rate = 8.0 / (1.0 + f32::from(round) * 0.1);
            for example in order.iter().map(|i| examples[*i]) {
                let side = sides[usize::from(example.is_of_category)].max(1);
                let weight =
                    examples.len() as f32 / (2.0 * side as f32 * example.sentences.len().max(1) as f32);
                for sentence in &example.sentences {
                    this.step(sentence, example.is_of_category, rate * weight);
                }
            }
        }
        this
    }

    fn step(&mut self, sentence: &[u16], is_of_category: bool, rate: f32) {
        let unit = 1.0 / (sentence.len().max(1) as f32).sqrt();
        let sum: f32 = sentence.iter().map(|number| self.weights[usize::from(*number)]).sum();
        let score = sum * unit + self.bias;
        let likely = 0.5 + 0.5 * score / (1.0 + score.abs());
        let error = if is_of_category { 1.0 - likely } else { -likely };
        for number in sentence {
            self.weights[usize::from(*number)] += rate * error * unit;
        }
        self.bias += rate * error * 0.1;
    }

    /// Lowers the bias, so that a text of which nothing is known is not of the category: a sentence must have a quarter
    /// of the evidence that the examples have on average.
    fn cautious(mut self, examples: &[&Example]) -> Self {
        let sentences = examples.iter().filter(|example| example.is_of_category).flat_map(|it| &it.sentences);
        let (mut total, mut count) = (0.0_f32, 0_u16);
        for sentence in sentences.take(usize::from(u16::MAX)) {
            let sum: f32 = sentence.iter().map(|number| self.weights[usize::from(*number)]).sum();
            total += sum / (sentence.len().max(1) as f32).sqrt();
            count += 1;
        }
        let average = total / f32::from(count.max(1));
        self.bias = self.bias.min(-(average.max(0.0) / 4.0));
        self
    }

    fn quantized(&self) -> Quantized {
        let largest = self.weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
        let scale = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        Quantized {
            weights: self.weights.iter().map(|weight| (weight * scale).round() as i8).collect(),
            bias: (self.bias * scale).round() as i32,
        }
    }
}

impl Quantized {
    fn matches_any(&self, sentences: &[Vec<u16>]) -> bool {
        let model = Model::new(&self.weights, self.bias);
        model.is_ok_and(|model| sentences.iter().any(|sentence| model.matches_features(sentence)))
    }
}

/// Pseudo-random, and the same each time.
fn shuffle(order: &mut [usize], random: &mut u64) {
    for i in (1..order.len()).rev() {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(i, (*random >> 33) as usize % (i + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECTS: [&str; 10] = [
        "our supplier",
        "the tenant",
        "my landlord",
        "the former employee",
        "a customer in Berlin",
        "the contractor",
        "one of our partners",
        "the insurance company",
        "a shareholder",
        "the publisher",
    ];

    fn legal() -> Vec<String> {
        let asks = [
            "Can we sue {} for breach of contract?",
            "Draft a termination notice that {} cannot contest in court.",
            "Is the liability clause in the agreement with {} enforceable?",
            "What damages may {} claim under the statute?",
        ];
        SUBJECTS.iter().flat_map(|who| asks.map(|ask| ask.replace("{}", who))).collect()
    }

    fn other() -> Vec<String> {
        let asks = [
            "Write a friendly birthday greeting for {}.",
            "Summarize the meeting notes about {} in five bullets.",
            "Which restaurant near the office would {} like?",
            "Translate the newsletter for {} into French.",
        ];
        SUBJECTS.iter().flat_map(|who| asks.map(|ask| ask.replace("{}", who))).collect()
    }

    #[test]
    fn what_can_be_told_apart_is_and_the_same_each_time() {
        let learned = LearnedCategory::learn(&legal(), &other());
        assert_eq!(learned, LearnedCategory::learn(&legal(), &other()));
        assert!(learned.precision_percent >= 90 && learned.recall_percent >= 90, "{learned:?}");
        assert_eq!(learned.good_enough("Legal"), Ok(()));
        let weights: Vec<i8> =
            learned.weight_bytes().unwrap().iter().map(|byte| i8::from_be_bytes([*byte])).collect();
        let model = Model::new(&weights, learned.bias).unwrap();
        assert!(model.matches("Hello. Could we sue the agency for breach of our contract?"));
        assert!(!model.matches("Please write a greeting for the agency. Make it friendly."));
        for unknown in
            ["chatcmpl-9f3a1c77e2", "The train to Lyon leaves at nine.", "fn main() { let x = 1; }"]
        {
            assert!(!model.matches(unknown), "{unknown}");
        }
    }

    #[test]
    fn what_cannot_be_told_apart_is_measured_so_and_may_not_block() {
        let all: Vec<_> = legal().into_iter().chain(other()).collect();
        let (even, odd): (Vec<_>, Vec<_>) =
            all.into_iter().enumerate().partition(|(i, _)| i.count_ones() % 2 == 0);
        let texts = |set: Vec<(usize, String)>| set.into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        let learned = LearnedCategory::learn(&texts(even), &texts(odd));
        assert!(learned.precision_percent < 90, "{learned:?}");
        let refused = learned.good_enough("Noise").unwrap_err();
        assert!(refused.starts_with("`Noise` was learned from examples with "), "{refused}");
    }

    #[test]
    fn the_most_examples_are_learned_from_in_time() {
        let many = |unit: &str| {
            (0..500).map(|i| format!("{unit} number {i} {}", unit.repeat(4))).collect::<Vec<_>>()
        };
        let begin = std::time::Instant::now();
        let learned =
            LearnedCategory::learn(&many("the contract and the court "), &many("the dinner and the party "));
        assert_eq!(learned.recall_percent, 100);
        println!("{:?}", begin.elapsed());
    }
}
