//! What the OpenAPI document says of every route alike.

use utoipa::openapi::path::{Operation, Parameter, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Content, OpenApi, RefOr, Response};

const TOKEN: &str = "An API token: `lk_…`. It counts before a session's cookie.";
const SESSION: &str = "The cookie of a browser that has signed in; over plain HTTP it is called `latchkey`. \
                       Whatever changes something must also send the session's CSRF token, which is the \
                       `csrf_token` of `GET /api/v1/me`, in the header `X-CSRF-Token`.";

/// Who may use a token may use a session, problems have a content type of their own, and an
/// `Idempotency-Key` has a length.
pub fn finish(document: &mut OpenApi) {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(TOKEN)).build();
    let cookie = ApiKey::Cookie(ApiKeyValue::with_description("__Host-latchkey", SESSION));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
    let by = |scheme| SecurityRequirement::new(scheme, [""; 0]);
    for (path, item) in &mut document.paths.paths {
        if path.ends_with("/export") {
            operations(item).for_each(without_pages);
        }
    }
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        if let Some(ways) = operation.security.as_mut().filter(|ways| ways.contains(&by("token"))) {
            ways.push(by("session"));
        }
        for response in operation.responses.responses.values_mut() {
            if let RefOr::T(response) = response {
                mark_problem(response);
            }
        }
        for parameter in operation.parameters.iter_mut().flatten() {
            if let RefOr::T(parameter) = parameter {
                limit_idempotency_key(parameter);
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten()
}

/// An export takes the filters of its list, and has no pages.
fn without_pages(operation: &mut Operation) {
    let is_of_pages = |parameter: &RefOr<Parameter>| match parameter {
        RefOr::T(parameter) => matches!(&*parameter.name, "cursor" | "limit"),
        RefOr::Ref(_) => false,
    };
    operation.parameters.get_or_insert_default().retain(|parameter| !is_of_pages(parameter));
    if let Some(RefOr::T(response)) = operation.responses.responses.get_mut("200") {
        let text = response.content.get("application/x-ndjson").cloned();
        response.content.extend(text.map(|text| ("text/csv".to_owned(), text)));
    }
}

fn mark_problem(response: &mut Response) {
    if response.content.get("application/json").is_some_and(is_problem)
        && let Some(content) = response.content.shift_remove("application/json")
    {
        response.content.insert("application/problem+json".to_owned(), content);
    }
}

fn is_problem(content: &RefOr<Content>) -> bool {
    let RefOr::T(content) = content else { return false };
    matches!(&content.schema, Some(RefOr::Ref(schema)) if schema.ref_location.ends_with("/Problem"))
}

fn limit_idempotency_key(parameter: &mut Parameter) {
    if parameter.name == "Idempotency-Key" {
        let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[ -~]{1,255}$"));
        parameter.schema = Some(text.into());
    }
}
