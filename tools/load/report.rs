//! The result: one JSON object on standard output, one line for people on standard error.

use serde_json::{Value, json};

use crate::machine;
use crate::plan::{Mode, Pacing, Plan};
use crate::run::Outcome;

/// Everything that was measured, and on what.
pub(crate) fn summary(plan: &Plan, outcome: &Outcome) -> Value {
    let seconds = outcome.used.window.as_secs_f64();
    let done = outcome.counts.done;
    let (depth, rate) = match plan.pacing {
        Pacing::Closed { depth } => (Some(depth), None),
        Pacing::Open { rate } => (None, Some(rate)),
    };
    let seats = plan.seats();
    let producers = seats.iter().filter(|seat| seat.subscription.is_none()).count();
    let own_us = outcome.used.own_cpu_ns as f64 / 1e3;
    json!({
        "mode": plan.mode.name(),
        "protocol": format!("{:?}", plan.protocol).to_lowercase(),
        "producers": producers,
        "consumers": seats.len() - producers,
        "topics": plan.topics,
        "depth": depth,
        "rate": rate,
        "size": plan.size,
        "seconds": rounded(seconds),
        "messages": done,
        "messages_per_second": rounded(done as f64 / seconds),
        "failed": outcome.counts.failed,
        "unsent": outcome.counts.unsent,
        "unanswered": outcome.unanswered,
        "sessions": outcome.sessions,
        "latency_us": latency(outcome),
        "server": server(plan, outcome, seconds),
        "client_cores": rounded(own_us / 1e6 / seconds),
        "client_cpu_us_per_message": per(own_us, done),
        "machine": machine::facts(),
    })
}

fn latency(outcome: &Outcome) -> Value {
    let histogram = &outcome.latency;
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

fn server(plan: &Plan, outcome: &Outcome, seconds: f64) -> Value {
    let Some(server) = &outcome.used.server else { return Value::Null };
    let cpu_us = server.cpu_ns as f64 / 1e3;
    let done = outcome.counts.done;
    let mib = |bytes: u64| rounded(bytes as f64 / f64::from(1 << 20));
    let rests = matches!(plan.mode, Mode::IdleProducers | Mode::IdleConsumers);
    let grown = server.rss_max.saturating_sub(server.rss_before) as f64 / 1024.0;
    json!({
        "cpu_us_per_message": per(cpu_us, done),
        "cores": rounded(cpu_us / 1e6 / seconds),
        "waiting_cores": rounded(server.waited_ns as f64 / 1e9 / seconds),
        "switches_per_message": per(server.switches as f64, done),
        "enters_per_message": server.enters.map_or(Value::Null, |enters| per(enters as f64, done)),
        "rss_before_mib": mib(server.rss_before),
        "rss_loaded_mib": mib(server.rss_max),
        "rss_kib_per_session": if rests { per(grown, outcome.sessions as u64) } else { Value::Null },
    })
}

/// The summary on standard output, the short of it on standard error.
pub(crate) fn print(plan: &Plan, outcome: &Outcome, summary: &Value) {
    let shown =
        |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), |number| format!("{number:.1}"));
    let (latency, server) = (&summary["latency_us"], &summary["server"]);
    eprintln!(
        "{}: {:.0} /s, p50 {} p99 {} p99.9 {} us, server {} us each, {} MiB; errors {}, sessions {}",
        plan.mode.name(),
        outcome.counts.done as f64 / outcome.used.window.as_secs_f64(),
        shown(&latency["p50"]),
        shown(&latency["p99"]),
        shown(&latency["p999"]),
        shown(&server["cpu_us_per_message"]),
        shown(&server["rss_loaded_mib"]),
        outcome.counts.failed + outcome.counts.unsent + outcome.unanswered,
        outcome.sessions,
    );
    println!("{summary:#}");
}

fn per(value: f64, count: u64) -> Value {
    if count == 0 { Value::Null } else { rounded(value / count as f64) }
}

/// Three digits behind the point say all there is.
fn rounded(value: f64) -> Value {
    json!((value * 1e3).round() / 1e3)
}
