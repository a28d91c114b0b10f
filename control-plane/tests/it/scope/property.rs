use latchkey_core::access::{Capability, Member};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::*;

const APPS: usize = 3;
const USERS: usize = 3;
const MODELS: [&str; 2] = ["gpt-4o", "claude"];

/// A request: of which app, by which user (none for the last number), with which model.
type Request = (usize, usize, usize);

/// How a list is asked for.
#[derive(Clone, Debug)]
struct Query {
    user: usize,
    /// Of this app alone, by the path or by the filter.
    app: Option<(usize, bool)>,
    of_user: Option<usize>,
    model: Option<usize>,
    limit: usize,
}

fn rule() -> impl Strategy<Value = (u8, Vec<usize>, Vec<usize>)> {
    let users = || prop::collection::vec(0..USERS, 0..2);
    (0..3_u8, users(), users())
}

fn query() -> impl Strategy<Value = Query> {
    let app = prop_oneof![Just(None), (0..APPS, any::<bool>()).prop_map(Some)];
    let (of_user, model) =
        (prop::option::weighted(0.2, 0..USERS), prop::option::weighted(0.2, 0..MODELS.len()));
    (0..USERS, app, of_user, model, 1..4_usize).prop_map(|(user, app, of_user, model, limit)| Query {
        user,
        app,
        of_user,
        model,
        limit,
    })
}

fn read(ids: &[String], (mode, allow, except): (u8, Vec<usize>, Vec<usize>)) -> Rule {
    let subjects = |chosen: Vec<usize>| Subjects {
        users: chosen.into_iter().map(|at| ids[at].parse().unwrap()).collect(),
        ..Subjects::default()
    };
    let mode = [AccessMode::Disabled, AccessMode::Everyone, AccessMode::Specific][usize::from(mode)];
    Rule { mode, allow: subjects(allow), exceptions: subjects(except) }
}

/// Whether a request may be seen, from the words of the rules alone.
fn sees(access: &[Access], users: &[String], query: &Query, request: Request) -> bool {
    let (app, user, _) = request;
    let member = Member { user: users[query.user].parse().unwrap(), is_active: true, groups: [].into() };
    let access = &access[app];
    let all = query.app.is_some_and(|(asked, _)| asked == app) && access.grants(Capability::AllLogs, &member);
    access.grants(Capability::Viewer, &member) && (user == query.user || all)
}

on_both! {
    /// Random rules, requests and queries: what the pages hold, and what the totals count, is what a
    /// naive filter over everything gives.
    async fn nobody_sees_more_or_less_than_a_naive_filter_gives(test: Test) {
        let mut runner = TestRunner::default();
        let (mut apps, mut users, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
        for at in 0..APPS.max(USERS) {
            apps.push(test.app(json!({})).await);
            let user = test.user(&format!("user-{at}@acme.com")).await;
            tokens.push(test.token_of(&user).await);
            users.push(user);
        }
        for _ in 0..6 {
            let requests = prop::collection::vec((0..APPS, 0..=USERS, 0..MODELS.len()), 0..25);
            let requests: Vec<Request> = requests.new_tree(&mut runner).unwrap().current();
            test.sql(&["DELETE FROM records".to_owned(), "DELETE FROM usage_days".to_owned()]).await;
            for (name, &(app, user, model)) in requests.iter().enumerate() {
                let user = users.get(user).map_or("", String::as_str);
                request(&test, &name.to_string(), &id(&apps[app]), user, MODELS[model]).await;
            }
            let rules = prop::collection::vec([rule(), rule(), rule()], APPS).new_tree(&mut runner).unwrap().current();
            let access: Vec<_> = rules.into_iter().map(|[viewer, settings_request, all_logs]| Access {
                viewer: read(&users, viewer),
                settings_request: read(&users, settings_request),
                all_logs: read(&users, all_logs),
                ..Access::default()
            }).collect();
            for (app, access) in apps.iter().zip(&access) {
                allow(&test, app, access.clone()).await;
            }
            for _ in 0..25 {
                let query = query().new_tree(&mut runner).unwrap().current();
                let seen = |request: Request| sees(&access, &users, &query, request);
                let wanted = |&(app, user, model): &Request| {
                    query.app.is_none_or(|(asked, _)| asked == app) && query.of_user.is_none_or(|of| of == user)
                        && query.model.is_none_or(|of| of == model)
                };
                let found = requests.iter().enumerate().filter(|(_, request)| seen(**request) && wanted(request));
                let mut expected: Vec<_> = found.map(|(name, _)| name.to_string()).collect();
                expected.reverse();
                let of_user = query.of_user.map(|user| format!("&user_id={}", users[user])).unwrap_or_default();
                let model = query.model.map(|model| format!("&model={}", MODELS[model])).unwrap_or_default();
                let (base, app) = match query.app {
                    None => ("/me".to_owned(), String::new()),
                    Some((app, true)) => (format!("/me/apps/{}", id(&apps[app])), String::new()),
                    Some((app, false)) => ("/me".to_owned(), format!("&app_id={}", id(&apps[app]))),
                };
                let token = &tokens[query.user];
                let logs = format!("{base}/logs?limit={}{app}{of_user}{model}", query.limit);
                let usage = format!("{base}/usage?group_by={app}{of_user}{model}");
                if let Some((app, true)) = query.app {
                    let member = Member { user: users[query.user].parse().unwrap(), is_active: true, groups: [].into() };
                    if !access[app].grants(Capability::Viewer, &member) {
                        assert_eq!(test.with(token, "GET", &logs, None).await.refused(404).0, "not_found");
                        assert_eq!(test.with(token, "GET", &usage, None).await.refused(404).0, "not_found");
                        continue;
                    }
                }
                assert_eq!(names(&test, token, &logs).await, expected, "{query:?} {access:#?}");
                let total = u64::try_from(expected.len()).unwrap();
                assert_eq!(count(&test, token, &usage).await, total, "{query:?} {access:#?}");
            }
        }
    }
}
