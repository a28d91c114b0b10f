//! The passes of one request: runs of a model that are billed one by one, and that the counters beside them
//! partly leave out.

use serde_json::Value;

use super::{CacheCounts, InputCounts, UsageCounts, count};

/// The pass that made the answer.
const MESSAGE: &str = "message";
/// The pass of another model, after the requested one has declined.
const FALLBACK: &str = "fallback_message";
/// Billed at the requested model's price.
const COMPACTION: &str = "compaction";
/// The pass of another model that advised.
const ADVISOR: &str = "advisor_message";

/// Takes the sum of the passes where it is more than the counters beside them. Tells whether there are any.
pub(super) fn add_up(usage: &Value, counts: &mut UsageCounts) -> bool {
    let Some(passes) = usage.get("iterations").and_then(Value::as_array).filter(|passes| !passes.is_empty())
    else {
        return false;
    };
    let kind = |pass: &Value| pass.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let fell_back = passes.iter().any(|pass| kind(pass) == FALLBACK);
    let (mut input, mut output) = (InputCounts::default(), 0_u64);
    for pass in passes {
        let Pass { input: read, output: written } = Pass::read(pass);
        let billed = match kind(pass).as_str() {
            // A model that declines before it writes anything is not billed.
            MESSAGE if fell_back && written == 0 => false,
            MESSAGE | COMPACTION => true,
            // Billed at the price of another model.
            FALLBACK | ADVISOR => {
                counts.unclear = true;
                true
            }
            _ => {
                counts.unclear |= read.total() > 0 || written > 0;
                false
            }
        };
        if billed {
            input = input.plus(read);
            output = output.saturating_add(written);
        }
    }
    counts.input = Some(counts.input.map_or(input, |told| told.dearest(input)));
    counts.output = Some(counts.output.map_or(output, |told| told.max(output)));
    true
}

struct Pass {
    input: InputCounts,
    output: u64,
}

impl Pass {
    fn read(pass: &Value) -> Self {
        let own = |name| count(pass, &[&[name]]).unwrap_or(0);
        let cache = CacheCounts::beside(pass).unwrap_or_default();
        Self { input: InputCounts { fresh: own("input_tokens"), cache }, output: own("output_tokens") }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pass(kind: &str, input: u64, output: u64) -> Value {
        json!({ "type": kind, "input_tokens": input, "output_tokens": output })
    }

    /// Input, output, and whether they are unclear.
    fn read(input: u64, output: u64, passes: &[Value]) -> (u64, u64, bool) {
        let usage = json!({ "input_tokens": input, "output_tokens": output, "iterations": passes });
        let (counts, _) = UsageCounts::beside(&usage);
        (counts.input.unwrap().total(), counts.output.unwrap(), counts.unclear)
    }

    #[test]
    fn passes_are_added_up() {
        let passes = [pass("compaction", 170_000, 3_000), pass("message", 21_000, 900)];
        assert_eq!(read(21_000, 900, &passes), (191_000, 3_900, false));
        assert_eq!(read(21_000, 900, &[]), (21_000, 900, false));
        let cached = json!({ "type": "message", "input_tokens": 2, "output_tokens": 97,
            "cache_read_input_tokens": 2_615, "cache_creation_input_tokens": 559 });
        assert_eq!(read(2, 97, &[pass("compaction", 48, 496), cached]), (3_224, 593, false));
        assert_eq!(read(500, 90, &[pass("message", 20, 9)]), (500, 90, false), "never less than beside them");
    }

    #[test]
    fn passes_are_added_up_beside_counters_of_another_dialect() {
        let usage =
            json!({ "prompt_tokens": 100, "completion_tokens": 0, "iterations": [pass("message", 90, 7)] });
        let (counts, _) = UsageCounts::beside(&usage);
        assert_eq!((counts.input.unwrap().total(), counts.output), (100, Some(7)));
    }

    #[test]
    fn what_is_not_billed_is_not_added_and_what_is_not_known_is_unclear() {
        let served = pass("fallback_message", 100, 30);
        assert_eq!(read(100, 30, &[pass("message", 5_000, 0), served.clone()]), (100, 30, true));
        assert_eq!(read(100, 30, &[pass("message", 5_000, 7), served]), (5_100, 37, true));
        assert_eq!(read(100, 30, &[pass("message", 100, 30), pass("later", 9, 0)]), (100, 30, true));
        assert_eq!(read(100, 30, &[pass("message", 100, 30), pass("later", 0, 0)]), (100, 30, false));
        assert_eq!(read(9, 3, &[pass("message", 9, 3), pass("advisor_message", 80, 20)]), (89, 23, true));
    }
}
