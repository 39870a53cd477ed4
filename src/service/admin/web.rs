//! Requests and answers as values.

use serde_json::{Value, json};

use crate::broker::admin::Refused;
use crate::service::admin::path::{Path, Query};
use crate::shard::ConnKey;

/// One whole request.
#[derive(Clone, Debug)]
pub struct AdminRequest {
    /// Who asks, and where the answer goes.
    pub client: ConnKey,
    /// Method, as sent; HEAD is asked as GET.
    pub method: String,
    /// The path in its elements.
    pub path: Path,
    /// The query.
    pub query: Query,
    /// `Host`, what the client dialled.
    pub host: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl AdminRequest {
    /// Reads the target. The error is what to answer.
    pub fn new(
        client: ConnKey,
        method: &str,
        target: &str,
        host: Option<&str>,
        body: Vec<u8>,
    ) -> Result<AdminRequest, WebAnswer> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let bad = || WebAnswer::reason(400, "malformed % sequence");
        Ok(AdminRequest {
            client,
            method: if method == "HEAD" { "GET".to_owned() } else { method.to_owned() },
            path: Path::read(path).ok_or_else(bad)?.of_today(),
            query: Query::read(query).ok_or_else(bad)?,
            host: host.map(str::to_owned),
            body,
        })
    }
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebAnswer {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`; empty: none.
    pub content_type: &'static str,
    /// Further header lines.
    pub headers: Vec<String>,
    /// Body.
    pub body: Vec<u8>,
}

const JSON: &str = "application/json";
/// Content type of an answer that holds the broker's numbers; the gateway's are to be put behind them.
pub const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl WebAnswer {
    /// Success with nothing to say.
    pub fn done() -> WebAnswer {
        WebAnswer { status: 204, content_type: "", headers: Vec::new(), body: Vec::new() }
    }

    /// Success with an empty body: how an unset policy is shown (broker 6.0).
    pub fn empty() -> WebAnswer {
        WebAnswer { status: 200, ..WebAnswer::done() }
    }

    /// A value.
    pub fn json(value: &Value) -> WebAnswer {
        WebAnswer::text(value.to_string().into_bytes())
    }

    /// A value, or [`WebAnswer::empty`] if there is none.
    pub fn json_or_empty(value: Option<&Value>) -> WebAnswer {
        value.map_or_else(WebAnswer::empty, WebAnswer::json)
    }

    /// Plain text and payloads too go by the name of JSON (broker 6.0).
    pub fn text(body: Vec<u8>) -> WebAnswer {
        WebAnswer { status: 200, content_type: JSON, headers: Vec::new(), body }
    }

    /// A refusal.
    pub fn reason(status: u16, reason: &str) -> WebAnswer {
        WebAnswer { status, ..WebAnswer::json(&json!({ "reason": reason })) }
    }

    /// The body is not what it should be: the parser's words.
    pub fn malformed(why: &str) -> WebAnswer {
        WebAnswer { status: 400, content_type: "text/plain", ..WebAnswer::text(why.as_bytes().to_vec()) }
    }
}

impl From<Refused> for WebAnswer {
    fn from(refused: Refused) -> Self {
        WebAnswer::reason(refused.status, &refused.reason)
    }
}
