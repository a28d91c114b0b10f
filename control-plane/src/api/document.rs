//! What the OpenAPI document says of every route alike.

use utoipa::openapi::path::{Operation, Parameter, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Content, OpenApi, RefOr, Response};

/// Problems have a content type of their own, and an `Idempotency-Key` has a length.
pub fn finish(document: &mut OpenApi) {
    for operation in document.paths.paths.values_mut().flat_map(operations) {
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
