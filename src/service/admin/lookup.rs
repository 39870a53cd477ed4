//! `/lookup/v2/topic` (broker 6.5).

use serde_json::{Value, json};

use crate::broker::admin::{AdminAnswer, AdminAsk, Refused};
use crate::broker::catalogue::names;
use crate::service::admin::cx::{Cx, Flow};
use crate::service::admin::route::Handler;
use crate::service::admin::web::WebAnswer;
use crate::wire::route::TopicName;

/// `path` is what follows `/lookup/v2/topic`.
pub(super) fn find(method: &str, path: &[&str]) -> Option<Handler> {
    match (method, path) {
        ("GET", ["persistent" | "non-persistent", _, _, _]) => Some(look_up),
        ("GET", ["persistent" | "non-persistent", _, _, _, "bundle"]) => Some(bundle),
        _ => None,
    }
}

fn topic(cx: &mut Cx<'_>) -> Flow<TopicName> {
    let (domain, tenant, namespace, local) = (cx.path(1), cx.path(2), cx.path(3), cx.path(4));
    names::check("Tenant", tenant)?;
    names::check("Namespace", namespace)?;
    let topic = names::topic(&format!("{domain}://{tenant}/{namespace}/{local}"))?;
    match cx.catalogue.has_namespace(topic.namespace()) {
        true => Ok(topic),
        false => Err(Refused::new(404, "Namespace not found").into()),
    }
}

fn look_up(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = topic(cx)?;
    let listener = cx.request.query.get("listenerName").unwrap_or_default();
    if !listener.is_empty() {
        return Err(Refused::new(404, format!("the broker do not have {listener} listener")).into());
    }
    let defaults = &cx.config.defaults;
    if !cx.catalogue.allows_auto_creation(topic.namespace(), defaults) && cx.partitions(&topic)? == 0 {
        let answer = cx.ask_one(&topic, AdminAsk::Exists { topic: topic.to_string() })?;
        if *answer != AdminAnswer::Exists(true) {
            return Err(Refused::new(404, format!("Topic not found {topic}")).into());
        }
    }
    let binary = cx.binary_url();
    // One official client wants either key of a TLS address, whatever it holds.
    Ok(WebAnswer::json(&json!({
        "brokerUrl": binary,
        "httpUrl": format!("http://{}", cx.web_address()),
        "nativeUrl": binary,
        "brokerUrlTls": "",
        "brokerUrlSsl": "",
    })))
}

/// The range of the namespace's bundles that the topic's hash falls into.
fn bundle(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = topic(cx)?;
    let policies = cx.catalogue.namespace(topic.namespace());
    let boundaries =
        policies.and_then(|policies| policies.get("bundles")).and_then(|all| all.get("boundaries"));
    let boundaries: Vec<&str> =
        boundaries.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let hash = format!("{:#010x}", crc32(topic.as_str().as_bytes()));
    let found =
        boundaries.windows(2).find(|pair| hash.as_str() < pair[1]).or(boundaries.windows(2).next_back());
    let range =
        found.map_or_else(|| "0x00000000_0xffffffff".to_owned(), |pair| format!("{}_{}", pair[0], pair[1]));
    Ok(WebAnswer::text(range.into_bytes()))
}

/// CRC-32 (ISO-HDLC), bit by bit: for one name at a time.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_check_value_of_crc_32() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
    }
}
