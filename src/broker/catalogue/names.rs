//! What names may look like (broker 2.1).

use crate::broker::catalogue::Refused;
use crate::wire::route::TopicName;
use crate::wire::route::topic::{has_cluster, is_name};

/// A tenant's, namespace's or cluster's name; `kind` begins the refusal.
pub fn check(kind: &str, name: &str) -> Result<(), Refused> {
    if is_name(name) { Ok(()) } else { Err(Refused::new(412, format!("{kind} name is not valid"))) }
}

/// A topic's name, also of the older form: where the local part has a slash, what is before it is a namespace behind a cluster.
pub fn topic(text: &str) -> Result<TopicName, Refused> {
    TopicName::parse(text).map_err(|error| Refused::new(412, error.to_string()))
}

/// Whether a namespace needs not be made before it has topics: those of the older form, `tenant/cluster/namespace`, but for the
/// cluster `global` (observed of a 4.0.7 broker). They have no policies.
pub fn is_implied(namespace: &str) -> bool {
    has_cluster(namespace) && namespace.split('/').nth(1) != Some("global")
}

/// A subscription's name: not blank, and none that the broker keeps for itself.
pub fn subscription(name: &str) -> Result<(), Refused> {
    if name.trim().is_empty() {
        return Err(Refused::new(412, "Empty subscription name"));
    }
    if name == "pulsar.dedup" || name.starts_with("pulsar.repl.") {
        return Err(Refused::new(412, "Subscription with reserved subscription name attempted"));
    }
    Ok(())
}

/// The id under which a topic's schemas are kept: those of partitions and of both domains are one.
pub fn schema_id(topic: &TopicName) -> String {
    let base = topic.base();
    format!("{}/{}", base.namespace(), base.local())
}

/// A topic that the broker uses itself: not counted, not listed unless asked for.
pub fn is_system(topic: &TopicName) -> bool {
    let base = topic.base();
    topic.namespace() == "pulsar/system" || base.local().starts_with("__")
}
