//! Method and path to handler. Unknown paths are 404, known ones with another method 405 (broker 6.0).

use crate::service::admin::cx::{Cx, Flow};
use crate::service::admin::path::Path;
use crate::service::admin::web::WebAnswer;
use crate::service::admin::{brokers, clusters, lookup, namespaces, schemas, tenants, topics};

/// Serves one request; see [`super::cx`].
pub(super) type Handler = fn(&mut Cx<'_>) -> Flow<WebAnswer>;

const METHODS: [&str; 4] = ["GET", "PUT", "POST", "DELETE"];

/// The handler of a request, or the answer that there is none.
pub(super) fn find(method: &str, path: &Path) -> Result<Handler, WebAnswer> {
    let elements = path.elements();
    if let Some(handler) = handler(method, &elements) {
        return Ok(handler);
    }
    Err(match METHODS.iter().any(|method| handler(method, &elements).is_some()) {
        true => WebAnswer::reason(405, "HTTP 405 Method Not Allowed"),
        false => WebAnswer::reason(404, "HTTP 404 Not Found"),
    })
}

fn handler(method: &str, path: &[&str]) -> Option<Handler> {
    if path.iter().any(|element| element.is_empty()) {
        return None;
    }
    match path {
        ["admin", "v2", rest @ ..] => v2(method, rest),
        ["admin", "v3", rest @ ..] => brokers::find_absent(rest),
        ["lookup", "v2", "topic", rest @ ..] => lookup::find(method, rest),
        ["metrics"] => brokers::find_metrics(method),
        _ => None,
    }
}

fn v2(method: &str, path: &[&str]) -> Option<Handler> {
    let (first, rest) = path.split_first()?;
    match *first {
        "clusters" => clusters::find(method, rest),
        "tenants" => tenants::find(method, rest),
        "namespaces" => namespaces::find(method, rest),
        "persistent" | "non-persistent" => topics::find(method, rest),
        "schemas" => schemas::find(method, rest),
        "functions" | "worker" | "worker-stats" => brokers::find_absent(path),
        _ => brokers::find(method, path),
    }
}
