//! What names may look like (broker 2.1).

use crate::broker::catalogue::Refused;
use crate::wire::route::TopicName;
use crate::wire::route::topic::is_name;

/// A tenant's, namespace's or cluster's name; `kind` begins the refusal.
pub fn check(kind: &str, name: &str) -> Result<(), Refused> {
    if is_name(name) { Ok(()) } else { Err(Refused::new(412, format!("{kind} name is not valid"))) }
}

/// A topic's name of the modern form. The older one with a cluster survives nowhere and is refused.
pub fn topic(text: &str) -> Result<TopicName, Refused> {
    let name = TopicName::parse(text).map_err(|error| Refused::new(412, error.to_string()))?;
    if name.namespace().matches('/').count() != 1 {
        return Err(Refused::new(412, format!("Invalid topic name: {name}: a local name has no slash")));
    }
    Ok(name)
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
