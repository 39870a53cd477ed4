//! Pages beside the WebSocket endpoints: health, metrics, and the statistics REST of the original proxy (API 7).

use super::clients::Phase;
use super::report::Wanted;
use super::{Conn, Gateway};
use crate::shard::{ConnKey, Links};
use crate::wire::http::Head;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain;charset=utf-8";

impl Gateway {
    /// A request that is no WebSocket endpoint.
    pub(super) fn serve_page(&mut self, io: &mut Links, key: ConnKey, head: &Head<'_>) {
        let close = !head.keep_alive();
        let path = head.target.split('?').next().unwrap_or_default();
        let head_only = head.method == "HEAD";
        // Numbers of the embedded broker come first, then ours behind them.
        if self.local.is_some() && (path == "/metrics" || !is_ours(path)) {
            return self.ask_web(io, key, head);
        }
        if !matches!(head.method, "GET" | "HEAD") {
            return self.answer_with(
                io,
                key,
                405,
                TEXT,
                &["Allow: GET, HEAD"],
                "only GET and HEAD",
                close,
                false,
            );
        }
        let (status, text) = match path {
            "/livez" => (200, "ok\n".to_owned()),
            "/readyz" => self.readiness(),
            "/status.html" => match self.config.status_file.as_ref().is_some_and(|file| file.exists()) {
                true => (200, "OK".to_owned()),
                false => (404, "no status file".to_owned()),
            },
            _ => match wanted(path) {
                Some(wanted) => return self.report(io, key, wanted, close, head_only),
                None => (404, format!("no such page: {}", path.chars().take(200).collect::<String>())),
            },
        };
        self.answer(io, key, status, TEXT, &text, close, head_only);
    }

    fn readiness(&self) -> (u16, String) {
        if self.stopping.is_some() {
            return (503, "stopping\n".to_owned());
        }
        if let Some(trouble) = self.local.as_ref().and_then(|local| local.trouble.as_ref()) {
            return (503, format!("{trouble}\n"));
        }
        match (self.service_is_ready(), &self.service.trouble) {
            (true, _) => (200, "ready\n".to_owned()),
            (false, Some(trouble)) => (503, format!("no broker: {trouble}\n")),
            (false, None) => (503, "no broker: connecting\n".to_owned()),
        }
    }

    /// The answer to a request for numbers, once all cores have reported.
    pub(super) fn answer_report(
        &mut self,
        io: &mut Links,
        key: ConnKey,
        outcome: Page,
        close: bool,
        head_only: bool,
    ) {
        if let Some(Conn::Client(client)) = self.conns.get_mut(key) {
            let waits = matches!(client.phase, Phase::Web(_));
            let (status, content_type, text) = match outcome {
                Page::Metrics(text) => (200, "text/plain; version=0.0.4; charset=utf-8", text),
                Page::Json(text) => (200, JSON, text),
                Page::Missing => (404, JSON, r#"{"reason":"Topic does not exist"}"#.to_owned()),
                Page::Busy => {
                    (503, JSON, r#"{"reason":"a core is too busy to report, try again"}"#.to_owned())
                }
            };
            match waits {
                true => self.answer_web(io, key, status, content_type, &[], text.as_bytes()),
                false => self.answer(io, key, status, content_type, &text, close, head_only),
            }
        }
    }

    /// Answers a request of [`Gateway::poll_web`] for metrics: `broker` is what the embedded broker has to say, and the numbers
    /// of the gateways of all cores come behind it.
    pub fn answer_metrics(&mut self, io: &mut Links, client: ConnKey, broker: String) {
        self.report(io, client, Wanted::Metrics(broker), false, false);
    }
}

/// A page made of reports.
pub(super) enum Page {
    Metrics(String),
    Json(String),
    Missing,
    Busy,
}

/// Pages that the gateway answers itself, also in front of the embedded broker.
fn is_ours(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/status.html") || wanted(path).is_some()
}

/// Which numbers a path asks for. Source: API 7; the V1 forms carry a cluster and no domain.
fn wanted(path: &str) -> Option<Wanted> {
    if path == "/metrics" {
        return Some(Wanted::Prometheus);
    }
    let (v2, rest) = match path.strip_prefix("/admin/v2/proxy-stats/") {
        Some(rest) => (true, rest),
        None => (false, path.strip_prefix("/admin/proxy-stats/")?),
    };
    match rest {
        "metrics" => return Some(Wanted::Rates),
        "stats" => return Some(Wanted::Sessions),
        _ => {}
    }
    let topic = rest.strip_suffix("/stats")?;
    let (prefix, parts_min) = if v2 { ("", 4) } else { ("persistent/", 4) };
    if topic.split('/').count() < parts_min {
        return None;
    }
    let full = format!("{prefix}{topic}");
    let (domain, name) = full.split_once('/')?;
    Some(Wanted::Topic(format!("{domain}://{}", percent_decoded(name))))
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match (bytes[at], digits.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_statistics() {
        assert_eq!(wanted("/metrics"), Some(Wanted::Prometheus));
        assert_eq!(wanted("/admin/v2/proxy-stats/metrics"), Some(Wanted::Rates));
        assert_eq!(wanted("/admin/proxy-stats/stats"), Some(Wanted::Sessions));
        let topic = |name: &str| Some(Wanted::Topic(name.to_owned()));
        let path = "/admin/v2/proxy-stats/persistent/public/default/a%2Fb/stats";
        assert_eq!(wanted(path), topic("persistent://public/default/a/b"));
        assert_eq!(wanted("/admin/proxy-stats/t/c/n/x/stats"), topic("persistent://t/c/n/x"));
        assert_eq!(wanted("/admin/v2/proxy-stats/x/stats"), None);
        assert_eq!(wanted("/nothing"), None);
    }
}
