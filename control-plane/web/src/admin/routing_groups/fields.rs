//! The fields of a group's form. A target is a line: `openai/gpt-4o 70`.

use latchkey_api::problem::Problem;
use latchkey_api::routing_groups::RoutingGroupView;
use latchkey_core::invalid::{FieldError, Invalid};
use latchkey_core::routing_group::{Failover, RoutingTarget};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::form::{Field, FieldKind, FormInput, HtmlForm, taken};

pub const EDIT: &[Field] = &[
    ("description", FieldKind::Text),
    ("balance", FieldKind::Text),
    ("sticky", FieldKind::Flag),
    ("targets", FieldKind::Aside),
    ("tiers.low.up_to_tokens", FieldKind::Aside),
    ("tiers.low.targets", FieldKind::Aside),
    ("tiers.medium.up_to_tokens", FieldKind::Aside),
    ("tiers.medium.targets", FieldKind::Aside),
    ("tiers.high.targets", FieldKind::Aside),
    ("failover.attempts", FieldKind::Number),
    ("failover.statuses", FieldKind::Numbers),
    ("failover.headers_timeout_ms", FieldKind::Number),
    ("failover.first_event_timeout_ms", FieldKind::Number),
    ("failover.repeat_side_effects", FieldKind::Flag),
];

pub const NEW: &[Field] = &{
    let mut fields = [("name", FieldKind::Text); EDIT.len() + 1];
    let mut i = 0;
    while i < EDIT.len() {
        fields[i + 1] = EDIT[i];
        i += 1;
    }
    fields
};

/// The names of tiers. The last has no border in the form.
const TIERS: [&str; 3] = ["low", "medium", "high"];

const SHAPE: &str = "a target is a provider, a model and a weight in percent, as in `openai/gpt-4o 70`";

/// What was typed, as the API takes it.
pub struct TypedGroup {
    pub json: Value,
    /// By the API's path of a list of targets: the field that it was typed into, and its lines.
    lists: Vec<(String, String, Vec<String>)>,
}

/// The form of a new group.
pub fn empty() -> HtmlForm {
    let failover = HtmlForm::of(&json!({ "failover": Failover::default() }));
    failover.with("balance", "requests")
}

/// The form of a group as it is.
pub fn filled(group: &RoutingGroupView) -> HtmlForm {
    let form = HtmlForm::of(group).with("targets", lines(&group.targets).join("\n"));
    group.tiers.iter().fold(form, |form, tier| {
        let field = |part: &str| format!("tiers.{}.{part}", tier.name.as_str());
        let border = tier.up_to_tokens.map(|tokens| tokens.to_string()).unwrap_or_default();
        let form = form.with(&field("targets"), lines(&tier.targets).join("\n"));
        form.with(&field("up_to_tokens"), border)
    })
}

/// Targets as they are typed.
pub fn lines(targets: &[RoutingTarget]) -> Vec<String> {
    let line = |target: &RoutingTarget| format!("{}/{} {}", target.provider, target.model, target.weight);
    targets.iter().map(line).collect()
}

/// # Errors
/// What was typed is no target; each field is named.
pub fn read(typed: &FormInput, fields: &[Field]) -> Result<TypedGroup, Problem> {
    let mut json = typed.json(fields)?;
    let (mut wrong, mut lists) = (Invalid::default(), Vec::new());
    let mut list = |path: String, field: &str, wrong: &mut Invalid| {
        let lines: Vec<_> =
            typed.text(field).lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let targets: Vec<_> = lines.iter().filter_map(|line| wrong.check(field, target(line))).collect();
        lists.push((path, field.to_owned(), lines.into_iter().map(str::to_owned).collect()));
        targets
    };
    json["targets"] = list("targets".to_owned(), "targets", &mut wrong).into();
    let mut tiers = Vec::new();
    for name in TIERS {
        let field = |part: &str| format!("tiers.{name}.{part}");
        let border = typed.text(&field("up_to_tokens")).replace([',', ' '], "");
        if border.is_empty() && typed.text(&field("targets")).is_empty() {
            continue;
        }
        let border = match border.is_empty() {
            true => None,
            false => wrong.check(
                &field("up_to_tokens"),
                border.parse::<u64>().map_err(|_| "must be a whole number of tokens"),
            ),
        };
        let path = format!("tiers[{}].targets", tiers.len());
        let targets = list(path, &field("targets"), &mut wrong);
        tiers.push(json!({ "name": name, "up_to_tokens": border, "targets": targets }));
    }
    json["tiers"] = tiers.into();
    wrong.into_result().map_err(Problem::invalid)?;
    Ok(TypedGroup { json, lists })
}

/// The target that a line says.
fn target(line: &str) -> Result<Value, String> {
    let (what, weight) = line.rsplit_once(char::is_whitespace).ok_or_else(|| format!("`{line}`: {SHAPE}"))?;
    let (provider, model) = what.trim().split_once('/').ok_or_else(|| format!("`{line}`: {SHAPE}"))?;
    let weight = weight.trim_end_matches('%');
    let weight: u32 = weight.parse().map_err(|_| format!("`{line}`: the weight must be a whole number"))?;
    Ok(json!({ "provider": provider, "model": model, "weight": weight }))
}

impl TypedGroup {
    /// # Errors
    /// What the API would refuse, by the fields of the form.
    pub fn taken<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        taken(&self.json).map_err(|problem| self.placed(problem))
    }

    /// The problem, whose errors name the fields of the form in the place of the API's lists.
    pub fn placed(&self, mut problem: Problem) -> Problem {
        for error in &mut problem.errors {
            if let Some(placed) = self.place(error) {
                *error = placed;
            }
        }
        problem
    }

    fn place(&self, error: &FieldError) -> Option<FieldError> {
        for (path, field, lines) in &self.lists {
            let Some(rest) = error.path.strip_prefix(path.as_str()) else { continue };
            let number =
                rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(number, _)| number);
            let line = number.and_then(|number| lines.get(number.parse::<usize>().ok()?));
            return Some(match line {
                Some(line) => FieldError::new(field, format!("`{line}`: {}", error.message)),
                None => FieldError::new(field, &error.message),
            });
        }
        // A tier's name and border.
        let rest = error.path.strip_prefix("tiers[")?;
        let (number, part) = rest.split_once("].")?;
        let name = self.json["tiers"][number.parse::<usize>().ok()?]["name"].as_str()?;
        let part = if part == "up_to_tokens" && name != "high" { part } else { "targets" };
        Some(FieldError::new(format!("tiers.{name}.{part}"), &error.message))
    }
}
