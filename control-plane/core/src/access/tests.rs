use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;

const ALICE: Uuid = Uuid::from_u128(1);
const BOB: Uuid = Uuid::from_u128(2);
const ENGINEERING: Uuid = Uuid::from_u128(0xE);
const CONTRACTORS: Uuid = Uuid::from_u128(0xC);

use Capability::{AllLogs, KeyVisibility, SettingsRequest, Viewer};

fn person(user: Uuid, groups: &[Uuid]) -> Member {
    Member { user, is_active: true, groups: groups.iter().copied().collect() }
}

fn alice() -> Member {
    person(ALICE, &[ENGINEERING])
}

fn subjects(ids: &[Uuid]) -> Subjects {
    let (users, groups) = ids.iter().partition(|id| [ALICE, BOB].contains(id));
    Subjects { users, groups }
}

fn rule(mode: AccessMode, allow: &[Uuid], exceptions: &[Uuid]) -> Rule {
    Rule { mode, allow: subjects(allow), exceptions: subjects(exceptions) }
}

fn everyone() -> Rule {
    rule(AccessMode::Everyone, &[], &[])
}

fn specific(allow: &[Uuid]) -> Rule {
    rule(AccessMode::Specific, allow, &[])
}

/// Each sentence of the documents on access, as a case of its own.
mod sentences {
    use super::*;

    #[test]
    fn access_is_granted_per_capability() {
        let access = Access {
            viewer: specific(&[ENGINEERING]),
            key_visibility: specific(&[ALICE]),
            ..Access::default()
        };
        assert_eq!(access.granted(&alice()), [Viewer, KeyVisibility]);
        assert_eq!(access.granted(&person(BOB, &[ENGINEERING])), [Viewer]);
    }

    #[test]
    fn a_wide_group_views_while_only_a_few_request_changes_or_see_credentials() {
        let access = Access {
            viewer: everyone(),
            settings_request: specific(&[ALICE]),
            key_visibility: specific(&[ALICE]),
            ..Access::default()
        };
        assert_eq!(access.granted(&alice()), [Viewer, SettingsRequest, KeyVisibility]);
        assert_eq!(access.granted(&person(BOB, &[])), [Viewer]);
    }

    #[test]
    fn viewer_access_sees_the_app_and_nothing_more() {
        let access = Access { viewer: specific(&[ALICE]), ..Access::default() };
        assert_eq!(access.granted(&alice()), [Viewer]);
    }

    #[test]
    fn settings_request_implies_viewer() {
        let access = Access { settings_request: specific(&[ALICE]), ..Access::default() };
        assert_eq!(access.granted(&alice()), [Viewer, SettingsRequest]);
    }

    #[test]
    fn settings_request_does_not_imply_viewer_where_viewer_rules_deny_the_user() {
        for denied in [ALICE, ENGINEERING] {
            let viewer = rule(AccessMode::Everyone, &[], &[denied]);
            let access = Access { viewer, settings_request: specific(&[ALICE]), ..Access::default() };
            assert!(!access.grants(Viewer, &alice()), "denied directly or by group");
        }
    }

    #[test]
    fn a_disabled_viewer_mode_does_not_cancel_the_implication_but_an_exception_does() {
        let settings_request = everyone();
        let disabled = Access { settings_request: settings_request.clone(), ..Access::default() };
        assert!(disabled.grants(Viewer, &alice()));
        let viewer = rule(AccessMode::Disabled, &[], &[ALICE]);
        assert!(!Access { viewer, settings_request, ..Access::default() }.grants(Viewer, &alice()));
    }

    #[test]
    fn an_exception_from_settings_request_takes_its_implication_too() {
        let settings_request = rule(AccessMode::Everyone, &[], &[ALICE]);
        assert_eq!(Access { settings_request, ..Access::default() }.granted(&alice()), []);
    }

    #[test]
    fn key_visibility_counts_only_for_someone_who_can_view_the_app() {
        let hidden = Access { key_visibility: everyone(), ..Access::default() };
        assert_eq!(hidden.granted(&alice()), []);
        let seen = Access { viewer: everyone(), ..hidden };
        assert_eq!(seen.granted(&alice()), [Viewer, KeyVisibility]);
    }

    #[test]
    fn all_logs_counts_only_for_someone_who_can_view_the_app() {
        let hidden = Access { all_logs: everyone(), ..Access::default() };
        assert_eq!(hidden.granted(&alice()), []);
        let seen = Access { settings_request: specific(&[ALICE]), ..hidden };
        assert_eq!(seen.granted(&alice()), [Viewer, SettingsRequest, AllLogs]);
    }

    #[test]
    fn each_capability_is_set_independently() {
        for capability in Capability::ALL {
            let mut access = Access { viewer: everyone(), ..Access::default() };
            match capability {
                Viewer => {}
                SettingsRequest => access.settings_request = everyone(),
                KeyVisibility => access.key_visibility = everyone(),
                AllLogs => access.all_logs = everyone(),
            }
            let mut expected = vec![Viewer];
            expected.extend(Some(capability).filter(|capability| *capability != Viewer));
            assert_eq!(access.granted(&alice()), expected);
        }
    }

    #[test]
    fn disabled_is_for_no_one() {
        let access = Access { viewer: rule(AccessMode::Disabled, &[ALICE], &[]), ..Access::default() };
        assert!(!access.grants(Viewer, &alice()), "a list that was kept gives nothing");
    }

    #[test]
    fn everyone_is_every_signed_in_user_minus_the_exceptions() {
        let access = Access { viewer: rule(AccessMode::Everyone, &[], &[BOB]), ..Access::default() };
        assert!(access.grants(Viewer, &alice()));
        assert!(!access.grants(Viewer, &person(BOB, &[])));
        assert!(!access.grants(Viewer, &Member { is_active: false, ..alice() }), "cannot sign in");
    }

    #[test]
    fn specific_is_only_the_people_and_groups_added() {
        let access = Access { viewer: specific(&[ALICE, CONTRACTORS]), ..Access::default() };
        assert!(access.grants(Viewer, &person(ALICE, &[])));
        assert!(access.grants(Viewer, &person(BOB, &[CONTRACTORS])));
        assert!(!access.grants(Viewer, &person(BOB, &[ENGINEERING])));
    }

    #[test]
    fn exceptions_block_people_and_groups_in_both_modes() {
        for mode in [AccessMode::Everyone, AccessMode::Specific] {
            for blocked in [ALICE, ENGINEERING] {
                let viewer = rule(mode, &[ALICE, ENGINEERING], &[blocked]);
                assert!(!Access { viewer, ..Access::default() }.grants(Viewer, &alice()), "{mode:?}");
            }
        }
    }

    #[test]
    fn exceptions_win_over_an_allow_rule_for_the_very_same_user() {
        let viewer = rule(AccessMode::Specific, &[ALICE], &[ALICE]);
        assert!(!Access { viewer, ..Access::default() }.grants(Viewer, &alice()));
    }

    #[test]
    fn nothing_configured_means_denied_for_everyone() {
        assert_eq!(Access::default().granted(&alice()), []);
        let read: Access = serde_json::from_str("{}").unwrap();
        assert_eq!(read, Access::default());
    }

    #[test]
    fn turning_a_capability_disabled_does_not_fall_back_to_anyone() {
        let mut access = Access { viewer: everyone(), all_logs: everyone(), ..Access::default() };
        access.all_logs.mode = AccessMode::Disabled;
        assert_eq!(access.granted(&alice()), [Viewer]);
    }

    #[test]
    fn a_smart_group_stands_for_its_members_on_allow_and_deny_lists() {
        let access = Access {
            viewer: rule(AccessMode::Specific, &[ENGINEERING], &[CONTRACTORS]),
            ..Access::default()
        };
        assert!(access.grants(Viewer, &alice()));
        assert!(!access.grants(Viewer, &person(BOB, &[ENGINEERING, CONTRACTORS])));
    }

    #[test]
    fn removing_someone_from_the_group_removes_their_access_to_every_app_that_names_it() {
        let apps = [
            Access { viewer: specific(&[ENGINEERING]), ..Access::default() },
            Access { settings_request: specific(&[ENGINEERING]), ..Access::default() },
        ];
        let before = alice();
        let after = person(ALICE, &[]);
        assert!(apps.iter().all(|access| access.grants(Viewer, &before)));
        assert!(apps.iter().all(|access| access.granted(&after).is_empty()));
    }

    #[test]
    fn losing_access_suspends_keys_only_where_the_app_says_so() {
        let access = Access { viewer: specific(&[ENGINEERING]), ..Access::default() };
        let keeps = SelfService { access, ..SelfService::default() };
        let stops = SelfService { suspend_keys_on_lost_access: true, ..keeps.clone() };
        let gone = person(ALICE, &[]);
        assert!(!keeps.suspends(&gone) && !keeps.suspends(&alice()));
        assert!(stops.suspends(&gone) && !stops.suspends(&alice()));
    }
}

#[test]
fn decisions_read_as_sentences() {
    let group = |id| if id == ENGINEERING { "engineering".to_owned() } else { "contractors".to_owned() };
    let say = |access: &Access, capability, member: &Member| {
        access.explain(capability, member).sentence("alice", capability, "Support Bot", group)
    };
    let by_group = Access { viewer: specific(&[ENGINEERING]), all_logs: everyone(), ..Access::default() };
    assert_eq!(
        say(&by_group, Viewer, &alice()),
        "alice may view Support Bot: member of engineering, which viewer allows"
    );
    assert_eq!(
        say(&by_group, AllLogs, &person(ALICE, &[])),
        "alice may not see everyone's logs of Support Bot: they may not view it, since viewer is for specific \
         people, and they are not among them"
    );
    assert_eq!(
        say(&by_group, KeyVisibility, &alice()),
        "alice may not see key values of Support Bot: key visibility is disabled"
    );
    let asks = Access { settings_request: specific(&[ENGINEERING]), ..Access::default() };
    assert_eq!(
        say(&asks, Viewer, &alice()),
        "alice may view Support Bot: settings request implies it, and member of engineering, which settings \
         request allows"
    );
    let excepted = Access { viewer: rule(AccessMode::Everyone, &[], &[ENGINEERING]), ..Access::default() };
    assert_eq!(
        say(&excepted, Viewer, &alice()),
        "alice may not view Support Bot: member of engineering, which viewer excepts"
    );
    assert_eq!(
        say(&excepted, SettingsRequest, &Member { is_active: false, ..alice() }),
        "alice may not ask for changes of Support Bot: the account is deactivated"
    );
}

#[test]
fn numbers_out_of_range_and_endless_lists_are_refused() {
    let mut service = SelfService {
        most_keys_per_user: Some(0),
        longest_key_lifetime_days: Some(3651),
        ..SelfService::default()
    };
    service.access.viewer.allow.users = (0..1001).map(Uuid::from_u128).collect();
    let mut invalid = Invalid::default();
    service.check("s.", &mut invalid);
    let paths: Vec<_> = invalid.0.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(paths, ["s.access.viewer.allow.users", "s.most_keys_per_user", "s.longest_key_lifetime_days"]);
}

/// PRODUCT.md's `granted(capability, user)`, word by word.
fn oracle(access: &Access, capability: Capability, member: &Member) -> bool {
    let among = |subjects: &Subjects| {
        let by_name = subjects.users.iter().any(|user| *user == member.user);
        by_name || subjects.groups.iter().any(|group| member.groups.iter().any(|own| own == group))
    };
    let granted = |rule: &Rule| {
        if among(&rule.exceptions) {
            return false;
        }
        rule.mode == AccessMode::Everyone || (rule.mode == AccessMode::Specific && among(&rule.allow))
    };
    if !member.is_active {
        return false;
    }
    let viewer =
        granted(&access.viewer) || (granted(&access.settings_request) && !among(&access.viewer.exceptions));
    match capability {
        Viewer => viewer,
        SettingsRequest => granted(&access.settings_request),
        KeyVisibility => viewer && granted(&access.key_visibility),
        AllLogs => viewer && granted(&access.all_logs),
    }
}

fn any_subjects() -> impl Strategy<Value = Subjects> {
    let ids = || btree_set((0..4u128).prop_map(Uuid::from_u128), 0..3);
    (ids(), ids()).prop_map(|(users, groups)| Subjects { users, groups })
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let mode =
        prop_oneof![Just(AccessMode::Disabled), Just(AccessMode::Everyone), Just(AccessMode::Specific)];
    (mode, any_subjects(), any_subjects()).prop_map(|(mode, allow, exceptions)| Rule {
        mode,
        allow,
        exceptions,
    })
}

fn any_access() -> impl Strategy<Value = Access> {
    (any_rule(), any_rule(), any_rule(), any_rule()).prop_map(
        |(viewer, settings_request, key_visibility, all_logs)| Access {
            viewer,
            settings_request,
            key_visibility,
            all_logs,
        },
    )
}

fn any_members() -> impl Strategy<Value = Vec<Member>> {
    let groups = || btree_set((0..4u128).prop_map(Uuid::from_u128), 0..4);
    let member = (0..4u128, any::<bool>(), groups());
    vec(
        member.prop_map(|(user, is_active, groups)| Member {
            user: Uuid::from_u128(user),
            is_active,
            groups,
        }),
        1..6,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn decisions_are_those_of_the_definition(access in any_access(), members in any_members()) {
        for member in &members {
            for capability in Capability::ALL {
                let reason = access.explain(capability, member);
                prop_assert_eq!(reason.is_granted(), oracle(&access, capability, member), "{:?}", reason);
                prop_assert_eq!(access.grants(capability, member), reason.is_granted());
            }
        }
    }

    /// What an explanation names is there: the group is one of the member's, and on the list it speaks of.
    #[test]
    fn explanations_name_what_decides(access in any_access(), members in any_members()) {
        for member in &members {
            for capability in Capability::ALL {
                if let Some(group) = access.explain(capability, member).group() {
                    prop_assert!(member.groups.contains(&group));
                    let named = |rule: &Rule| rule.allow.groups.contains(&group) || rule.exceptions.groups.contains(&group);
                    prop_assert!(Capability::ALL.into_iter().any(|capability| named(access.rule(capability))));
                }
            }
        }
    }

    /// Taking someone out of a group that no rule excepts gives them nothing.
    #[test]
    fn leaving_a_group_gives_nothing_but_the_end_of_its_exceptions(access in any_access(), members in any_members()) {
        for member in &members {
            for group in &member.groups {
                let excepts = |capability| access.rule(capability).exceptions.groups.contains(group);
                if Capability::ALL.into_iter().any(excepts) {
                    continue;
                }
                let mut left = member.clone();
                left.groups.remove(group);
                for capability in Capability::ALL {
                    prop_assert!(!access.grants(capability, &left) || access.grants(capability, member));
                }
            }
        }
    }
}
