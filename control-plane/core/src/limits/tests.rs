use proptest::prelude::*;

use super::*;

prop_compose! {
    fn any_limits()(
        numbers in prop::array::uniform6(prop::option::of(1_u64..4)),
        budgets in prop::array::uniform2(prop::option::of((1_u64..4, prop::bool::ANY))),
    ) -> Limits {
        let [requests_per_minute, requests_per_hour, requests_per_day, tokens_per_minute, input, output] = numbers;
        let per = |month| if month { Period::Month } else { Period::Total };
        Limits {
            requests_per_minute,
            requests_per_hour,
            requests_per_day,
            tokens_per_minute,
            token_budget: budgets[0].map(|(tokens, month)| TokenBudget { tokens, per: per(month) }),
            budget: budgets[1].map(|(usd, month)| Budget { usd: NanoUsd(usd), per: per(month) }),
            max_input_tokens: input,
            max_output_tokens: output,
            min_output_tokens: None,
        }
    }
}

proptest! {
    #[test]
    fn within_is_at_most_as_much_of_everything(child in any_limits(), parent in any_limits()) {
        let fits = |child: Option<u64>, parent: Option<u64>| child.zip(parent).is_none_or(|(own, most)| own <= most);
        let buckets = child.buckets().all(|(kind, own, window)| {
            parent.buckets().filter(|other| other.0 == kind).all(|(_, most, other)| window == other && own <= most)
        });
        let expected = buckets
            && fits(child.max_input_tokens, parent.max_input_tokens)
            && fits(child.max_output_tokens, parent.max_output_tokens);
        prop_assert_eq!(child.within("a", &parent, "b").is_ok(), expected);
    }

    #[test]
    fn an_edit_that_names_everything_leaves_nothing_of_before(before in any_limits(), after in any_limits()) {
        let mut json = serde_json::to_value(&after).unwrap();
        for name in serde_json::to_value(&before).unwrap().as_object().unwrap().keys() {
            json.as_object_mut().unwrap().entry(name).or_insert(serde_json::Value::Null);
        }
        let edit: EditLimits = serde_json::from_value(json).unwrap();
        prop_assert_eq!(edit.apply(before.clone()), after);
        prop_assert_eq!(EditLimits::default().apply(before.clone()), before);
    }
}

#[test]
fn only_what_is_set_is_a_bucket() {
    let limits = Limits {
        requests_per_minute: Some(60),
        budget: Some(Budget { usd: NanoUsd(5), per: Period::Month }),
        max_input_tokens: Some(1),
        ..Limits::default()
    };
    let buckets: Vec<_> = limits.buckets().collect();
    assert_eq!(
        buckets,
        [
            (BucketKind::RequestsPerMinute, 60, LimitWindow::Sliding { span_ms: 60_000 }),
            (BucketKind::CostBudget, 5, LimitWindow::Calendar(Period::Month)),
        ]
    );
}

fn limits(json: serde_json::Value) -> Limits {
    serde_json::from_value(json).unwrap()
}

#[test]
fn a_child_never_exceeds_its_parent() {
    let parent = limits(serde_json::json!({
        "requests_per_minute": 60, "max_output_tokens": 100,
        "token_budget": {"tokens": 1000, "per": "day"}, "budget": {"usd": "10", "per": "month"}
    }));
    let beyond = |child| {
        let invalid = limits(child).within("named_key_limits", &parent, "limits").err().unwrap_or_default();
        invalid.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(beyond(serde_json::to_value(&parent).unwrap()), "", "as much");
    assert_eq!(beyond(serde_json::json!({"requests_per_hour": 1_000_000})), "", "not limited by the parent");
    assert_eq!(
        beyond(serde_json::json!({
            "requests_per_minute": 61, "max_output_tokens": 101,
            "token_budget": {"tokens": 1001, "per": "day"}, "budget": {"usd": "1", "per": "week"}
        })),
        "named_key_limits.requests_per_minute: is more than `limits.requests_per_minute`, 60\n\
         named_key_limits.max_output_tokens: is more than `limits.max_output_tokens`, 100\n\
         named_key_limits.token_budget.tokens: is more than `limits.token_budget.tokens`, 1000\n\
         named_key_limits.budget.per: must be the same period as `limits.budget`, which is `month`"
    );
    assert_eq!(
        beyond(serde_json::json!({"budget": {"usd": "10.000000001", "per": "month"}})),
        "named_key_limits.budget.usd: is more than `limits.budget.usd`, 10"
    );
}

#[test]
fn no_limit_is_zero() {
    let limits: Limits = serde_json::from_value(serde_json::json!({
        "requests_per_hour": 0, "token_budget": {"tokens": 0, "per": "day"}, "budget": {"usd": "0", "per": "total"}
    }))
    .unwrap();
    let mut invalid = Invalid::default();
    limits.check("limits", &mut invalid);
    let paths: Vec<_> = invalid.0.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(paths, ["limits.requests_per_hour", "limits.token_budget.tokens", "limits.budget.usd"]);
}

#[test]
fn the_floor_of_an_answer_lies_below_its_ceiling_and_a_keys_not_below_its_apps() {
    let limits =
        |least, most| Limits { min_output_tokens: least, max_output_tokens: most, ..Limits::default() };
    let refused = |limits: &Limits| {
        let mut invalid = Invalid::default();
        limits.check("limits", &mut invalid);
        invalid.into_result().is_err()
    };
    assert!(!refused(&limits(Some(100), Some(100))) && !refused(&limits(Some(100), None)));
    assert!(refused(&limits(Some(101), Some(100))) && refused(&limits(Some(0), None)));
    let within = |own, of_app| limits(own, None).within("own", &limits(of_app, None), "app").is_ok();
    assert!(within(Some(200), Some(100)) && within(None, Some(100)) && within(Some(10), None));
    assert!(!within(Some(99), Some(100)), "the app's applies as well");
}
