//! The catalogue: tenants, clusters, namespaces and their policies, partitioned topics, topic policies and properties, schemas.
//! A plain value, the same on each core, built from and changed by the records of the meta store and by nothing else.
//!
//! | key | value (JSON) |
//! |---|---|
//! | `cluster/{c}` | what the cluster's REST body said |
//! | `tenant/{t}` | `adminRoles`, `allowedClusters` |
//! | `namespace/{t}/{n}` | [`Policies`] |
//! | `partitioned/{full base name}` | `partitions`, `properties` |
//! | `policies/{full base name}` | [`TopicPolicies`] |
//! | `schema/{t}/{n}/{local base name}/{version, ten digits}` | one version, [`SchemaRecord`] |

mod changes;
mod effective;
mod first;
pub mod names;
mod plan;
mod policies;
mod schemas;
pub mod shape;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use changes::{Change, Expect, Plan};
pub use effective::{
    AutoCreation, BacklogPolicy, BacklogQuota, DispatchRate, Effective, InactiveTopics, PublishRate,
    Retention, SubscribeRate,
};
pub use first::FirstStart;
pub use policies::{MemberError, Policies, TopicPolicies};
pub use schemas::SchemaRecord;
pub use shape::Shape;

pub use crate::broker::admin::Refused;
use crate::wire::route::TopicName;
use crate::wire::route::topic::is_in_namespace;

/// A value and the version by which the meta store knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Versioned<T> {
    /// Version of its record: what a change must expect.
    pub version: u64,
    /// The value.
    pub value: T,
}

/// A tenant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tenant {
    /// As given and as shown; keys that were not given are absent.
    pub info: Map<String, Value>,
}

impl Tenant {
    /// Clusters its namespaces may use.
    pub fn allowed_clusters(&self) -> impl Iterator<Item = &str> {
        self.info
            .get("allowedClusters")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
    }
}

/// The record of a partitioned topic.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Partitioned {
    /// How many partitions, at least 1.
    pub partitions: u32,
    /// Text to text.
    pub properties: Map<String, Value>,
}

/// All that is known beside the logs. One replica on each core.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalogue {
    clusters: BTreeMap<String, Versioned<Map<String, Value>>>,
    tenants: BTreeMap<String, Versioned<Tenant>>,
    namespaces: BTreeMap<String, Versioned<Policies>>,
    partitioned: BTreeMap<String, Versioned<Partitioned>>,
    topic_policies: BTreeMap<String, Versioned<TopicPolicies>>,
    /// By `tenant/namespace/local` of the base name, then by version.
    schemas: BTreeMap<String, BTreeMap<u64, Versioned<SchemaRecord>>>,
    unreadable: u64,
}

impl Catalogue {
    /// Takes over one committed record; `None`: it was deleted. What cannot be read is left out and counted.
    pub fn apply(&mut self, key: &str, version: u64, value: Option<&[u8]>) {
        let parsed = match value.map(serde_json::from_slice::<Value>) {
            None => None,
            Some(Ok(Value::Object(map))) => Some(map),
            Some(_) => {
                self.unreadable += 1;
                return;
            }
        };
        let known = match key.split_once('/') {
            Some(("cluster", name)) => put(&mut self.clusters, name, version, parsed),
            Some(("tenant", name)) => {
                put(&mut self.tenants, name, version, parsed.map(|info| Tenant { info }))
            }
            Some(("namespace", name)) => {
                put(&mut self.namespaces, name, version, parsed.map(|map| Policies::read(&map)))
            }
            Some(("partitioned", name)) => {
                put(&mut self.partitioned, name, version, parsed.map(|map| read_partitioned(&map)))
            }
            Some(("policies", name)) => {
                put(&mut self.topic_policies, name, version, parsed.map(TopicPolicies::read))
            }
            Some(("schema", rest)) => self.apply_schema(rest, version, parsed),
            _ => false,
        };
        self.unreadable += u64::from(!known);
    }

    fn apply_schema(&mut self, rest: &str, version: u64, value: Option<Map<String, Value>>) -> bool {
        let Some((topic, number)) = rest.rsplit_once('/') else { return false };
        let Ok(number) = number.parse::<u64>() else { return false };
        match value {
            Some(map) => {
                let Some(value) = SchemaRecord::read(&map) else { return false };
                let versions = self.schemas.entry(topic.to_owned()).or_default();
                versions.insert(number, Versioned { version, value });
            }
            None => {
                if let Some(versions) = self.schemas.get_mut(topic) {
                    versions.remove(&number);
                    if versions.is_empty() {
                        self.schemas.remove(topic);
                    }
                }
            }
        }
        true
    }

    /// Records that this version of the program could not read: for the log and metrics.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// Names of all clusters, sorted.
    pub fn clusters(&self) -> impl Iterator<Item = &str> {
        self.clusters.keys().map(String::as_str)
    }

    /// What is stored of a cluster.
    pub fn cluster(&self, name: &str) -> Option<&Map<String, Value>> {
        self.clusters.get(name).map(|found| &found.value)
    }

    /// Names of all tenants, sorted.
    pub fn tenants(&self) -> impl Iterator<Item = &str> {
        self.tenants.keys().map(String::as_str)
    }

    /// A tenant.
    pub fn tenant(&self, name: &str) -> Option<&Tenant> {
        self.tenants.get(name).map(|found| &found.value)
    }

    /// Names of all namespaces, `tenant/namespace`, sorted.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.namespaces.keys().map(String::as_str)
    }

    /// Names of a tenant's namespaces, `tenant/namespace`, sorted.
    pub fn namespaces_of(&self, tenant: &str) -> impl Iterator<Item = &str> {
        below(&self.namespaces, format!("{tenant}/")).map(|(name, _)| name)
    }

    /// Policies of a namespace, `tenant/namespace`; `None`: there is no such namespace.
    pub fn namespace(&self, name: &str) -> Option<&Policies> {
        self.namespaces.get(name).map(|found| &found.value)
    }

    /// Whether there may be topics in a namespace.
    pub fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.contains_key(name) || names::is_implied(name)
    }

    /// The record of a partitioned topic, by its base name; `None`: it is no partitioned topic.
    pub fn partitioned(&self, base: &TopicName) -> Option<&Partitioned> {
        self.partitioned.get(base.as_str()).map(|found| &found.value)
    }

    /// How many partitions a topic has; 0: it is no partitioned topic.
    pub fn partitions(&self, base: &TopicName) -> u32 {
        self.partitioned(base).map_or(0, |record| record.partitions)
    }

    /// Base names of a namespace's partitioned topics, both domains, sorted.
    pub fn partitioned_of(&self, namespace: &str) -> impl Iterator<Item = (&str, &Partitioned)> {
        let of = |domain: &str| {
            below(&self.partitioned, format!("{domain}://{namespace}/"))
                .filter(|(name, _)| is_in_namespace(name, namespace))
                .map(|(name, found)| (name, &found.value))
        };
        of("non-persistent").chain(of("persistent"))
    }

    /// Policies of a topic itself; those of a partition are its base's.
    pub fn topic_policies(&self, topic: &TopicName) -> Option<&TopicPolicies> {
        self.topic_policies.get(topic.base().as_str()).map(|found| &found.value)
    }
}

fn put<T>(into: &mut BTreeMap<String, Versioned<T>>, name: &str, version: u64, value: Option<T>) -> bool {
    match value {
        Some(value) => into.insert(name.to_owned(), Versioned { version, value }),
        None => into.remove(name),
    };
    true
}

/// Entries whose name begins with `prefix`, in order.
fn below<T>(map: &BTreeMap<String, T>, prefix: String) -> impl Iterator<Item = (&str, &T)> {
    map.range(prefix.clone()..)
        .take_while(move |(name, _)| name.starts_with(&prefix))
        .map(|(name, value)| (name.as_str(), value))
}

fn read_partitioned(map: &Map<String, Value>) -> Partitioned {
    let partitions =
        map.get("partitions").and_then(Value::as_u64).and_then(|count| u32::try_from(count).ok());
    let properties = map.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    Partitioned { partitions: partitions.unwrap_or(1).max(1), properties }
}
