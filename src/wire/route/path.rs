//! What the path of a URL names: topic, topics, subscription (API 1.2). Paths are split while still
//! percent-encoded, so that an encoded slash stays inside its element.

use crate::base::limit::SESSION_TOPICS_MAX;
use crate::wire::route::params::{Params, form_decode};
use crate::wire::route::topic::{is_domain, is_name};
use crate::wire::route::{Mount, RouteError, TopicName, Topics};
use crate::wire::text::clip;
use std::collections::BTreeSet;

/// Where the endpoints lie, without the slash that follows (API 1.1).
pub(super) const MOUNTS: [(&str, Mount); 7] = [
    ("/ws/v2/producer", Mount::Producer),
    ("/ws/v2/consumer", Mount::Consumer),
    ("/ws/v2/reader", Mount::Reader),
    ("/ws/v3/consumer", Mount::MultiConsumer),
    ("/ws/producer", Mount::Producer),
    ("/ws/consumer", Mount::Consumer),
    ("/ws/reader", Mount::Reader),
];

/// Element of the topic's first piece, in both grammars: V1 has a cluster where V2 has `v2`.
const TOPIC_AT: usize = 7;
/// Element of the subscription below `/ws/v3/consumer/`.
const MULTI_SUBSCRIPTION_AT: usize = 4;
/// Largest automaton that a topic pattern may become, bytes: a few kilobytes of pattern can ask for
/// gigabytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Path and query of a request target; the scheme and authority of an absolute one are dropped.
pub(super) fn split(target: &str) -> (&str, Option<&str>) {
    let local = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => rest.find('/').map_or("", |at| &rest[at..]),
        _ => target,
    };
    local.split_once('?').map_or((local, None), |(path, query)| (path, Some(query)))
}

/// The topic of a V1 or V2 path, from element 7 up to `end`; further empty elements are dropped.
pub(super) fn topic(elements: &[&str], end: usize) -> Result<TopicName, RouteError> {
    if elements.len() <= TOPIC_AT {
        return Err(RouteError::invalid("Invalid topic name format"));
    }
    let (domain, namespace) = if elements[2] == "v2" {
        (elements[4], &elements[5..TOPIC_AT])
    } else {
        (elements[3], &elements[4..TOPIC_AT])
    };
    if !is_domain(domain) {
        return Err(RouteError::invalid(format_args!("Invalid topic domain: '{}'", clip(domain))));
    }
    let mut local = elements[TOPIC_AT].to_owned();
    for piece in elements.get(TOPIC_AT + 1..end).unwrap_or_default().iter().filter(|piece| !piece.is_empty())
    {
        local.push('/');
        local.push_str(piece);
    }
    let local = form_decode(&local).ok_or_else(malformed)?;
    TopicName::parse(&format!("{domain}://{}/{local}", namespace.join("/"))).map_err(RouteError::invalid)
}

/// The subscription of a V1 or V2 path.
pub(super) fn subscription(elements: &[&str]) -> Result<String, RouteError> {
    if elements.len() != TOPIC_AT + 2 {
        return Err(RouteError::invalid("Invalid topic name format"));
    }
    decode_subscription(elements[TOPIC_AT + 1])
}

/// The subscription of a V3 path; further elements are ignored.
pub(super) fn multi_subscription(elements: &[&str]) -> Result<String, RouteError> {
    decode_subscription(elements.get(MULTI_SUBSCRIPTION_AT).copied().unwrap_or_default())
}

fn decode_subscription(element: &str) -> Result<String, RouteError> {
    if element.is_empty() {
        return Err(RouteError::invalid("Empty subscription name"));
    }
    let subscription = form_decode(element).ok_or_else(malformed)?;
    if subscription.trim().is_empty() {
        // Brokers answer a name of blanks with "consumer busy".
        return Err(RouteError::invalid("subscriptionName cannot be blank"));
    }
    Ok(subscription.into_owned())
}

fn malformed() -> RouteError {
    RouteError::invalid("malformed % sequence in the path")
}

/// The topics of a V3 consumer: exactly one of `topics` and `topicsPattern`.
pub(super) fn topics(params: &Params<'_>) -> Result<Topics, RouteError> {
    match (params.get("topics"), params.get("topicsPattern")) {
        (None, None) => Err(RouteError::invalid("Should set topics or topicsPattern")),
        (Some(_), Some(_)) => Err(RouteError::invalid("Topics must be null when use topicsPattern")),
        (Some(list), None) => topic_list(list),
        (None, Some(pattern)) => topic_pattern(pattern),
    }
}

/// A list, split at commas with nothing trimmed. A topic named twice counts once.
fn topic_list(list: &str) -> Result<Topics, RouteError> {
    let (mut topics, mut seen) = (Vec::new(), BTreeSet::new());
    for item in list.split(',') {
        if item.trim().is_empty() {
            return Err(RouteError::invalid("topicNames cannot have blank topic"));
        }
        let topic = TopicName::parse(item).map_err(RouteError::invalid)?;
        if seen.insert(topic.clone()) {
            topics.push(topic);
        }
    }
    if topics.len() > SESSION_TOPICS_MAX {
        return Err(RouteError::invalid(format_args!("more than {SESSION_TOPICS_MAX} topics")));
    }
    Ok(Topics::Many(topics))
}

/// A pattern, with or without scheme and namespace. A cluster counts as part of the namespace, as in names.
fn topic_pattern(text: &str) -> Result<Topics, RouteError> {
    if text.trim().is_empty() {
        return Err(RouteError::invalid("Should set topics or topicsPattern"));
    }
    let (domain, rest) = text.split_once("://").map_or((None, text), |(domain, rest)| (Some(domain), rest));
    if domain.is_some_and(|domain| !is_domain(domain)) {
        return Err(RouteError::invalid(format_args!("Invalid topicsPattern {}", clip(text))));
    }
    let parts: Vec<&str> = rest.splitn(4, '/').collect();
    let names = parts[..parts.len() - 1].iter().take_while(|part| is_name(part)).count();
    let (namespace, expression) = match (names, domain) {
        (2.., _) => (parts[..names].join("/"), rest.to_owned()),
        (_, None) => ("public/default".to_owned(), format!("public/default/{rest}")),
        (_, Some(_)) => {
            return Err(RouteError::invalid(format_args!(
                "Invalid topicsPattern {}: no namespace",
                clip(text)
            )));
        }
    };
    // Alone first: `a)|(b` is an expression only between parentheses, and would there match more than it
    // should.
    for candidate in [expression.clone(), format!("^(?:{expression})$")] {
        if let Err(error) = regex::RegexBuilder::new(&candidate).size_limit(PATTERN_BYTES_MAX).build() {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default();
            let (text, reason) = (clip(text), clip(reason));
            return Err(RouteError::invalid(format_args!("Invalid topicsPattern {text}: {reason}")));
        }
    }
    Ok(Topics::Pattern { namespace, expression, text: text.to_owned() })
}
