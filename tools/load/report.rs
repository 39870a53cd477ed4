//! The result: one JSON object on standard output, one line for people on standard error.

use serde_json::{Value, json};

use crate::drive::{Measured, Pacing, Plan};

/// Prints what was measured.
pub(crate) fn print(mode: &str, plan: &Plan, measured: &Measured) {
    let seconds = measured.window.as_secs_f64();
    let per_second = measured.messages as f64 / seconds;
    let (depth, rate) = match plan.pacing {
        Pacing::Closed { depth } => (Some(depth), None),
        Pacing::Open { rate } => (None, Some(rate)),
    };
    let latency = latency(measured);
    let server = server(measured, seconds);
    eprintln!(
        "{mode}: {per_second:.0} msg/s, p50 {} p99 {} p99.9 {} us, server {} us/msg, {} MiB",
        shown(&latency["p50"]),
        shown(&latency["p99"]),
        shown(&latency["p999"]),
        shown(&server["cpu_us_per_message"]),
        shown(&server["rss_loaded_mib"]),
    );
    let summary = json!({
        "mode": mode,
        "producers": plan.producers,
        "consumers": plan.consumers,
        "topics": plan.topics,
        "depth": depth,
        "rate": rate,
        "size": plan.size,
        "seconds": rounded(seconds),
        "messages": measured.messages,
        "messages_per_second": rounded(per_second),
        "failed": measured.failed,
        "unsent": measured.unsent,
        "unanswered": measured.unanswered,
        "latency_us": latency,
        "server": server,
        "client_cores": rounded(measured.own_cpu_ns as f64 / 1e9 / seconds),
    });
    println!("{summary:#}");
}

fn latency(measured: &Measured) -> Value {
    let histogram = &measured.latency;
    if histogram.is_empty() {
        return Value::Null;
    }
    let at = |quantile| rounded(histogram.value_at_quantile(quantile) as f64 / 1e3);
    json!({
        "count": histogram.len(),
        "mean": rounded(histogram.mean() / 1e3),
        "p50": at(0.5),
        "p90": at(0.9),
        "p99": at(0.99),
        "p999": at(0.999),
        "max": rounded(histogram.max() as f64 / 1e3),
    })
}

fn server(measured: &Measured, seconds: f64) -> Value {
    let Some(server) = &measured.server else { return Value::Null };
    let cpu_us = server.cpu_ns as f64 / 1e3;
    let mib = |bytes: u64| rounded(bytes as f64 / f64::from(1 << 20));
    json!({
        "cpu_us_per_message": if measured.messages == 0 { Value::Null } else { rounded(cpu_us / measured.messages as f64) },
        "cores": rounded(cpu_us / 1e6 / seconds),
        "rss_before_mib": mib(server.rss_before),
        "rss_loaded_mib": mib(server.rss_max),
    })
}

/// Three digits behind the point say all there is.
fn rounded(value: f64) -> Value {
    json!((value * 1e3).round() / 1e3)
}

fn shown(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |number| format!("{number:.1}"))
}
