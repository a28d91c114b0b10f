use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn rule(tool: &str, argument: &str, check: Check) -> wire::McpArgumentRule {
    wire::McpArgumentRule {
        tool: tool.into(),
        argument: argument.into(),
        optional: false,
        check: Some(check),
    }
}

fn glob(pattern: &str) -> Check {
    Check::Glob(pattern.into())
}

fn one_of(values: &[&str]) -> Check {
    Check::OneOf(wire::JsonValues { values: values.iter().map(|&value| value.into()).collect() })
}

fn range(min: Option<&str>, max: Option<&str>) -> Check {
    Check::Range(wire::NumberRange { min: min.map(Into::into), max: max.map(Into::into) })
}

fn absent() -> Check {
    Check::Absent(wire::Nothing {})
}

fn rules(rules: Vec<wire::McpArgumentRule>) -> ArgumentRules {
    ArgumentRules::try_from(rules).unwrap()
}

fn check(rules: &ArgumentRules, arguments: &str) -> Result<(), String> {
    let arguments = RawValue::from_string(arguments.to_owned()).unwrap();
    rules.check("github", "create_issue", Some(&arguments)).map_err(|denial| {
        assert_eq!(denial.code, Code::McpArgumentDenied);
        denial.message.into_owned()
    })
}

/// Why one rule refuses.
fn refused(argument: &str, by: Check, arguments: &str) -> String {
    let refused = check(&rules(vec![rule("github/create_*", argument, by)]), arguments).expect_err(arguments);
    let why =
        refused.strip_prefix("The app is not allowed to call the tool `create_issue` with these arguments: ");
    why.and_then(|why| why.strip_suffix('.')).expect(&refused).to_owned()
}

fn passes(argument: &str, by: Check, arguments: &str) -> bool {
    check(&rules(vec![rule("github/create_issue", argument, by)]), arguments).is_ok()
}

#[test]
fn a_member_must_be_as_its_rule_says() {
    for (check, good, bad, told) in [
        (
            glob("acme/*"),
            r#""acme/site""#,
            &[r#""evil/acme/""#, "7", "null", r#"["acme/site"]"#] as &[_],
            "`/repo` must be a string like `acme/*`",
        ),
        (
            one_of(&[r#""a""#, "7", "true"]),
            "7.0",
            &[r#""7""#, "false", "8", "{}"],
            "`/repo` must be one of \"a\", 7, true",
        ),
        (
            range(Some("1"), Some("1e2")),
            "100.00",
            &["0.99", "100.0000000000000000001", r#""5""#],
            "`/repo` must be a number from 1 to 100",
        ),
        (range(Some("-1"), None), "5e300", &["-1.5"], "`/repo` must be a number of at least -1"),
        (range(None, Some("2")), "-5", &["3"], "`/repo` must be a number of at most 2"),
    ] {
        assert!(passes("/repo", check.clone(), &format!(r#"{{"x":1,"repo":{good}}}"#)), "{good}");
        for bad in bad {
            assert_eq!(refused("/repo", check.clone(), &format!(r#"{{"repo":{bad}}}"#)), told, "{bad}");
        }
    }
}

#[test]
fn what_is_missing_is_refused_unless_the_rule_says_otherwise() {
    for arguments in ["{}", "null", r#"{"other":"acme/x"}"#] {
        assert_eq!(
            refused("/repo", glob("acme/*"), arguments),
            "`/repo` is missing, and must be a string like `acme/*`"
        );
        assert!(passes("/repo", absent(), arguments));
        let optional =
            wire::McpArgumentRule { optional: true, ..rule("github/create_issue", "/repo", glob("a*")) };
        let optional = rules(vec![optional]);
        assert_eq!(check(&optional, arguments), Ok(()));
        assert!(
            check(&optional, r#"{"repo":"b"}"#).is_err() && check(&optional, r#"{"repo":null}"#).is_err()
        );
    }
    assert_eq!(refused("/repo", absent(), r#"{"repo":null}"#), "`/repo` must not be given");
    let none = rules(vec![rule("github/create_issue", "/repo", glob("*"))]);
    assert!(none.check("github", "create_issue", None).is_err());
}

#[test]
fn members_are_found_within_objects() {
    assert!(passes("/a/b~1c/~0", glob("x"), r#"{"a":{"b/c":{"~":"x"}}}"#));
    assert_eq!(refused("/a/b", glob("x"), r#"{"a":{}}"#), "`/a/b` is missing, and must be a string like `x`");
    for arguments in [r#"{"a":["b"]}"#, r#"{"a":"b"}"#, r#"{"a":null}"#] {
        for check in [glob("x"), absent()] {
            assert!(refused("/a/b", check, arguments).contains("not within an object"), "{arguments}");
        }
    }
}

#[test]
fn what_a_server_may_read_otherwise_is_refused() {
    for arguments in [
        r#"{"repo":"acme/x","repo":"evil"}"#,
        r#"{"repo":"acme/x","re\u0070o":"evil"}"#,
        r#"{"repo":"acme/x","other":{"a":1,"a":2}}"#,
        r#"["acme/x"]"#,
        r#""acme/x""#,
    ] {
        assert!(refused("/repo", glob("acme/*"), arguments).contains("no member twice"), "{arguments}");
    }
    for arguments in [
        r#"{"repo":"acme/x","Repo":"evil"}"#,
        r#"{"REPO":"acme/x"}"#,
        r#"{"repo":"acme/x"," repo":"evil"}"#,
        r#"{"repo":"acme/x","repo[0]":"evil"}"#,
    ] {
        for check in [glob("acme/*"), absent()] {
            assert!(refused("/repo", check, arguments).contains("spelled in another way"), "{arguments}");
        }
    }
    assert!(passes("/repoName", glob("acme/*"), r#"{"repoName":"acme/x","repo_name":"y"}"#));
}

#[test]
fn rules_are_about_their_tools_and_all_of_them_hold() {
    let all = rules(vec![
        rule("github/create_*", "/owner", glob("acme")),
        rule("github/*", "/repo", glob("s*")),
        rule("files/create_issue", "/x", glob("y")),
        rule("github/delete", "/x", glob("y")),
    ]);
    assert_eq!(check(&all, r#"{"owner":"acme","repo":"site"}"#), Ok(()));
    assert!(check(&all, r#"{"owner":"acme","repo":"x"}"#).unwrap_err().contains("`/repo`"));
    assert!(check(&all, r#"{"owner":"x","repo":"site"}"#).unwrap_err().contains("`/owner`"));
    assert!(all.check("docs", "create_issue", None).is_ok());
    assert!(ArgumentRules::default().check("github", "create_issue", None).is_ok());
}

#[test]
fn a_rule_that_cannot_be_followed_is_refused() {
    let wrong = |rule| ArgumentRules::try_from(vec![rule]).unwrap_err().to_string();
    let unset = wire::McpArgumentRule { check: None, ..rule("a/b", "/c", absent()) };
    assert_eq!(wrong(unset), "mcp_argument_rules: the check of `a/b` is malformed");
    for path in ["", "c", "/~", "/~2"] {
        let told = wrong(rule("a/b", path, absent()));
        assert_eq!(told, "mcp_argument_rules: the argument of `a/b` is malformed", "{path}");
    }
    for check in [range(None, None), range(Some("x"), None), range(None, Some("01"))] {
        assert!(wrong(rule("a/b", "/c", check)).contains("the range"));
    }
    for check in [one_of(&[]), one_of(&["{}"]), one_of(&["x"])] {
        assert!(wrong(rule("a/b", "/c", check)).contains("the list of values"));
    }
}

#[test]
fn a_tool_with_rules_of_its_own_is_no_spelling_of_another() {
    let call = |all: &ArgumentRules, tool: &str, arguments: &str| {
        let arguments = RawValue::from_string(arguments.to_owned()).unwrap();
        all.check("github", tool, Some(&arguments)).map_err(|denial| denial.message.into_owned())
    };
    let both = rules(vec![
        rule("github/create_issue", "/repo", glob("acme/*")),
        rule("github/Create_Issue", "/repo", glob("other/*")),
        rule("github/*", "/force", absent()),
    ]);
    for (tool, good, bad) in [("create_issue", "acme/x", "other/x"), ("Create_Issue", "other/x", "acme/x")] {
        assert_eq!(call(&both, tool, &json!({"repo": good}).to_string()), Ok(()), "{tool}");
        assert!(call(&both, tool, &json!({"repo": bad}).to_string()).unwrap_err().contains("`/repo`"));
        assert!(call(&both, tool, &json!({"repo": good, "force": 1}).to_string()).is_err());
    }
    // A pattern that fits is no sign that the server tells them apart.
    for tool in ["CREATE_ISSUE", "create_issue "] {
        assert!(call(&both, tool, "{}").unwrap_err().contains("another spelling of"), "{tool}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Whatever is sent, what passes is what the rule says, by the plainest reading.
    #[test]
    fn what_passes_is_what_the_rule_says(
        members in prop::collection::vec(
            ("repo|Repo|r\\\\u0065po|x", "\"acme/[a-c]\"|\"evil\"|7|null|\\{\\}"),
            0..4,
        ),
    ) {
        let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let text = format!("{{{}}}", members.join(","));
        let passes = passes("/repo", glob("acme/*"), &text);
        let value: Value = serde_json::from_str(&text).unwrap();
        let plainly = value["repo"].as_str().is_some_and(|repo| repo.starts_with("acme/"));
        prop_assert!(!passes || plainly, "{text}");
        let members = text.matches(':').count();
        let names = value.as_object().unwrap();
        let is_clear = members == names.len() && !names.contains_key("Repo");
        prop_assert_eq!(passes, plainly && is_clear, "{}", text);
    }

    /// However a lenient server may spell the tool's name: the call is judged, or refused by name.
    #[test]
    fn no_spelling_of_a_tool_escapes_its_rules(
        changes in prop::collection::vec(0_u8..5, 12),
        margins in ("[ \u{a0}\u{200b}]{0,3}", "[\t \u{3000}]{0,2}"),
        is_pattern in any::<bool>(),
    ) {
        let spell = |(c, change): (char, &u8)| match change {
            0 | 1 => vec![c],
            2 => vec![c.to_ascii_uppercase()],
            3 => vec![char::from_u32(u32::from(c) + 0xfee0).unwrap()],
            _ => vec![c, '\u{2060}'],
        };
        let name: String = "create_issue".chars().zip(&changes).flat_map(spell).collect();
        let name = [&margins.0, name.as_str(), &margins.1].concat();
        let tool = if is_pattern { "github/create*issue" } else { "github/create_issue" };
        // Neither does a rule for all tools let one escape.
        let all = rules(vec![rule(tool, "/repo", glob("acme/*")), rule("github/*", "/force", absent())]);
        let check = |arguments: &str| {
            let arguments = RawValue::from_string(arguments.to_owned()).unwrap();
            all.check("github", &name, Some(&arguments)).map_err(|denial| denial.message)
        };
        let evil = check(r#"{"repo":"evil/x"}"#);
        prop_assert!(evil.is_err(), "{:?}", name);
        let is_exact = McpEntry::new(tool).allows(&name);
        let good = check(r#"{"repo":"acme/x"}"#);
        prop_assert_eq!(good.is_ok(), is_exact);
        prop_assert!(is_exact || good.unwrap_err().contains("another spelling"), "{:?}", name);
    }

    #[test]
    fn no_value_is_told(value in "[d-z]{6,12}") {
        for check in [glob("acme/*"), one_of(&["7"]), range(Some("1"), None), absent()] {
            let told = refused("/repo", check, &json!({"repo": value}).to_string());
            prop_assert!(!told.contains(&value) || "must be a string like one of number given not least".contains(&value), "{told}");
        }
    }
}
