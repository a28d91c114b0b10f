//! Keys that somebody pasted into a search: only their ends stay, in the address too.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use latchkey_core::key_search::without_key;
use url::form_urlencoded::{self, Serializer};

use super::frame::redirect;

/// Leads from a page whose query has a key to the same page with the key's end.
pub async fn keep_out(request: Request, next: Next) -> Response {
    let uri = request.uri();
    match uri.query().and_then(without_keys).filter(|_| request.method().is_safe()) {
        Some(query) => redirect(&format!("{}?{query}", uri.path())).into_response(),
        None => next.run(request).await,
    }
}

/// The query with the ends of the keys in it; none where it has no key.
fn without_keys(query: &str) -> Option<String> {
    let mut found = false;
    let fields: Vec<_> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| match without_key(&value) {
            Some(masked) => {
                found = true;
                (name, masked.into())
            }
            None => (name, value),
        })
        .collect();
    found.then(|| Serializer::new(String::new()).extend_pairs(fields).finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_leaves_the_query_and_the_rest_stays() {
        let key = "sk-quilr-AAAAAAAAAAAAAAAAAAAAAAAAAAAA7haQ";
        let query = without_keys(&format!("status=active&search={key}%3Ass1.AA.BBBB9z_-&sort="));
        assert_eq!(query.as_deref(), Some("status=active&search=%E2%80%A69z_-&sort="));
        assert_eq!(without_keys("search=%E2%80%A67haQ&a=b"), None);
        assert_eq!(without_keys(""), None);
    }
}
