//! Changes of clusters, tenants, namespaces and topics: checked against the catalogue, as records to be written. Statuses and
//! reasons: broker 6.1-6.4. Where a change also depends on topics that only the logs know, the asker has looked before.

use serde_json::{Map, Value, json};

use crate::base::limit;
use crate::broker::catalogue::changes::change;
use crate::broker::catalogue::policies::shape_of;
use crate::broker::catalogue::shape::Shape;
use crate::broker::catalogue::{
    Catalogue, Change, Expect, Partitioned, Plan, Policies, Refused, TopicPolicies, Versioned, names,
};
use crate::wire::route::TopicName;

/// Bundles of a new namespace (`defaultNumberOfNamespaceBundles`), and the most that one may have.
const BUNDLES_DEFAULT: u64 = 4;

impl Catalogue {
    /// A cluster's record: new (`PUT`) or changed (`POST`).
    pub fn plan_cluster(&self, name: &str, data: &Map<String, Value>, new: bool) -> Plan {
        names::check("Cluster", name)?;
        let before = self.clusters.get(name);
        match (before, new) {
            (Some(_), true) => return Err(Refused::new(409, "Cluster already exists")),
            (None, false) => return Err(Refused::new(404, "Cluster does not exist")),
            _ => {}
        }
        Ok(vec![change(format!("cluster/{name}"), before, Some(bytes(data)))])
    }

    /// A cluster's record goes. The broker's own must stay: tenants and namespaces name it.
    pub fn plan_cluster_delete(&self, name: &str, own: &str) -> Plan {
        let Some(before) = self.clusters.get(name) else {
            return Err(Refused::new(404, "Cluster does not exist"));
        };
        if name == own {
            return Err(Refused::new(412, "The cluster of this broker cannot be deleted"));
        }
        Ok(vec![change(format!("cluster/{name}"), Some(before), None)])
    }

    /// A tenant: new (`PUT`) or changed (`POST`). `info` as the client gave it, `None`: no body.
    pub fn plan_tenant(&self, name: &str, info: Option<&Map<String, Value>>, new: bool, most: usize) -> Plan {
        names::check("Tenant", name)?;
        let info = self.checked_tenant(info)?;
        let before = self.tenants.get(name);
        match (before, new) {
            (Some(_), true) => return Err(Refused::new(409, "Tenant already exist")),
            (None, false) => return Err(Refused::new(404, format!("Tenant {name} not found"))),
            (None, true) if most > 0 && self.tenants.len() >= most => {
                return Err(Refused::new(412, "Exceed the maximum number of tenants"));
            }
            _ => {}
        }
        Ok(vec![change(format!("tenant/{name}"), before, Some(bytes(&info)))])
    }

    fn checked_tenant(&self, info: Option<&Map<String, Value>>) -> Result<Map<String, Value>, Refused> {
        let Some(info) = info else { return Err(Refused::new(412, "TenantInfo is null")) };
        let mut checked = Map::new();
        for key in ["adminRoles", "allowedClusters"] {
            let Some(given) = info.get(key).filter(|given| !given.is_null()) else { continue };
            let wrong = || Refused::new(400, format!("{key} must be a list of texts"));
            checked.insert(key.to_owned(), Shape::Texts.read(given).ok_or_else(wrong)?);
        }
        let list = |key: &str| checked.get(key).and_then(Value::as_array);
        let Some(clusters) = list("allowedClusters") else {
            return Err(Refused::new(412, "Clusters cannot be null"));
        };
        let clusters: Vec<&str> = clusters.iter().filter_map(Value::as_str).collect();
        if clusters.is_empty() || clusters.iter().any(|name| name.trim().is_empty()) {
            return Err(Refused::new(412, "Clusters cannot be empty or blank"));
        }
        if clusters.iter().any(|name| self.cluster(name).is_none()) {
            return Err(Refused::new(412, "Clusters do not exist"));
        }
        let roles = list("adminRoles").into_iter().flatten().filter_map(Value::as_str);
        if roles.into_iter().any(|role| role.trim() != role) {
            let reason = "AdminRoles contains whitespace in the beginning or end.";
            return Err(Refused::new(412, reason));
        }
        Ok(checked)
    }

    /// A tenant goes. With `force` its namespaces were deleted before.
    pub fn plan_tenant_delete(&self, name: &str) -> Plan {
        let Some(before) = self.tenants.get(name) else {
            return Err(Refused::new(404, "Tenant doesn't exist"));
        };
        if self.namespaces_of(name).next().is_some() {
            return Err(Refused::new(409, "The tenant still has active namespaces"));
        }
        Ok(vec![change(format!("tenant/{name}"), Some(before), None)])
    }

    /// A new namespace. `given`: policies of the body, if there is one.
    pub fn plan_namespace(
        &self,
        tenant: &str,
        local: &str,
        given: Option<&Map<String, Value>>,
        cluster: &str,
    ) -> Plan {
        names::check("Tenant", tenant)?;
        names::check("Namespace", local)?;
        let mut policies = match given {
            Some(given) => Policies::parse(given).map_err(|error| Refused::new(400, error.to_string()))?,
            None => Policies::fresh(cluster),
        };
        let ttl = policies.get("message_ttl_in_seconds").and_then(Value::as_i64);
        if ttl.is_some_and(|ttl| ttl < 0) {
            return Err(Refused::new(412, "Invalid value for message TTL"));
        }
        let Some(info) = self.tenant(tenant) else {
            return Err(Refused::new(404, "Tenant does not exist"));
        };
        let fresh = |policies: &mut Policies, name: &str, value: &Value| {
            policies.set(name, Some(value)).map_err(|error| Refused::new(400, error.to_string()))
        };
        let replicated = policies.get("replication_clusters").and_then(Value::as_array);
        if replicated.is_none_or(Vec::is_empty) {
            fresh(&mut policies, "replication_clusters", &json!([cluster]))?;
        }
        check_clusters(&policies, tenant, info.allowed_clusters().collect())?;
        let asked =
            policies.get("bundles").and_then(|bundles| bundles.get("numBundles")).and_then(Value::as_u64);
        let boundaries = policies.get("bundles").and_then(|bundles| bundles.get("boundaries"));
        let given = boundaries.and_then(Value::as_array).map_or(0, Vec::len) as u64;
        if asked.is_none_or(|asked| given != asked + 1) {
            let count = asked.filter(|count| *count > 0).unwrap_or(BUNDLES_DEFAULT);
            if count > limit::NAMESPACE_BUNDLES_MAX {
                return Err(Refused::new(412, "Invalid number of bundles"));
            }
            fresh(&mut policies, "bundles", &bundles(count))?;
        }
        fresh(&mut policies, "clusterThatCanDeleteNamespace", &cluster.into())?;
        let name = format!("{tenant}/{local}");
        if self.namespaces.contains_key(&name) {
            return Err(Refused::new(409, "Namespace already exists"));
        }
        Ok(vec![change(
            format!("namespace/{name}"),
            None::<&Versioned<Policies>>,
            Some(bytes(policies.members())),
        )])
    }

    /// A namespace goes, and with it all that only the catalogue knows below it. Its topics were deleted before.
    pub fn plan_namespace_delete(&self, name: &str) -> Plan {
        let Some(before) = self.namespaces.get(name) else { return Err(no_namespace()) };
        let mut plan = vec![change(format!("namespace/{name}"), Some(before), None)];
        for domain in ["persistent", "non-persistent"] {
            let prefix = format!("{domain}://{name}/");
            let mut drop = |kind: &str, topic: &str| {
                plan.push(Change { key: format!("{kind}/{topic}"), expect: Expect::Any, value: None });
            };
            super::below(&self.partitioned, prefix.clone()).for_each(|(topic, _)| drop("partitioned", topic));
            super::below(&self.topic_policies, prefix).for_each(|(topic, _)| drop("policies", topic));
        }
        let schemas = super::below(&self.schemas, format!("{name}/"));
        plan.extend(schemas.flat_map(|(id, _)| self.plan_schemas_gone(id)));
        Ok(plan)
    }

    /// A member of a namespace's policies is set, or unset. Nothing is written when it is so already.
    pub fn plan_policy(&self, namespace: &str, member: &str, value: Option<&Value>) -> Plan {
        self.plan_policies(namespace, |policies| {
            policies.set(member, value).map(drop).map_err(|error| Refused::new(400, error.to_string()))
        })
    }

    /// As [`Catalogue::plan_policy`], for a change of any kind.
    pub fn plan_policies(
        &self,
        namespace: &str,
        edit: impl FnOnce(&mut Policies) -> Result<(), Refused>,
    ) -> Plan {
        let Some(before) = self.namespaces.get(namespace) else { return Err(no_namespace()) };
        let mut policies = before.value.clone();
        edit(&mut policies)?;
        if policies == before.value {
            return Ok(Vec::new());
        }
        Ok(vec![change(format!("namespace/{namespace}"), Some(before), Some(bytes(policies.members())))])
    }

    /// An entry of a member that is a map, as rates by cluster or quotas by type.
    pub fn plan_policy_entry(
        &self,
        namespace: &str,
        member: &str,
        entry: &str,
        value: Option<&Value>,
    ) -> Plan {
        debug_assert!(matches!(shape_of(member), Some(Shape::Each(_))), "{member} is a map");
        self.plan_policies(namespace, |policies| {
            let mut map = policies.get(member).and_then(Value::as_object).cloned().unwrap_or_default();
            match value {
                Some(value) => map.insert(entry.to_owned(), value.clone()),
                None => map.shift_remove(entry),
            };
            let set = policies.set(member, Some(&Value::Object(map)));
            set.map(drop).map_err(|error| Refused::new(400, error.to_string()))
        })
    }

    /// A member of a topic's own policies is set, or unset.
    pub fn plan_topic_policy(&self, topic: &TopicName, member: &str, value: Option<&Value>) -> Plan {
        let base = topic.base();
        let before = self.topic_policies.get(base.as_str());
        let mut policies = before.map(|found| found.value.clone()).unwrap_or_default();
        if !policies.set(member, value).map_err(|error| Refused::new(400, error.to_string()))? {
            return Ok(Vec::new());
        }
        let value = Some(&policies).filter(|policies| !TopicPolicies::is_empty(policies));
        Ok(vec![change(format!("policies/{base}"), before, value.map(|policies| bytes(policies.members())))])
    }

    /// The record of a new partitioned topic. That there is no plain topic of the name was looked up before.
    pub fn plan_partitioned(
        &self,
        topic: &TopicName,
        partitions: i64,
        properties: &Map<String, Value>,
        most: u32,
    ) -> Plan {
        if topic.looks_partitioned() {
            return Err(Refused::new(412, "Partitioned Topic Name should not contain '-partition-'"));
        }
        let partitions = partition_count(partitions, most, 406)?;
        if !self.has_namespace(topic.namespace()) {
            return Err(Refused::new(404, "Namespace not found"));
        }
        if self.partitioned.contains_key(topic.as_str()) {
            return Err(Refused::new(409, "This topic already exists"));
        }
        let record = Partitioned { partitions, properties: properties.clone() };
        Ok(vec![change(
            format!("partitioned/{topic}"),
            None::<&Versioned<Partitioned>>,
            Some(record_bytes(&record)),
        )])
    }

    /// More partitions. The new ones were made before. An equal number changes nothing.
    pub fn plan_partitions(&self, topic: &TopicName, partitions: i64, most: u32) -> Plan {
        let Some(before) = self.partitioned.get(topic.as_str()) else {
            return Err(Refused::new(409, format!("Topic {topic} is not the partitioned topic.")));
        };
        let partitions = partition_count(partitions, most, 422)?;
        if partitions < before.value.partitions {
            let reason = format!("Number of partitions must be at least {}", before.value.partitions);
            return Err(Refused::new(422, reason));
        }
        if partitions == before.value.partitions {
            return Ok(Vec::new());
        }
        let record = Partitioned { partitions, ..before.value.clone() };
        Ok(vec![change(format!("partitioned/{topic}"), Some(before), Some(record_bytes(&record)))])
    }

    /// Properties of a partitioned topic are merged, or (`remove`) one goes. Those of other topics are in the log.
    pub fn plan_properties(
        &self,
        topic: &TopicName,
        merge: &Map<String, Value>,
        remove: Option<&str>,
    ) -> Plan {
        let Some(before) = self.partitioned.get(topic.as_str()) else {
            return Err(Refused::new(404, format!("Topic {topic} not found")));
        };
        let mut record = before.value.clone();
        record.properties.extend(merge.clone());
        remove.map(|key| record.properties.shift_remove(key));
        if record == before.value {
            return Ok(Vec::new());
        }
        Ok(vec![change(format!("partitioned/{topic}"), Some(before), Some(record_bytes(&record)))])
    }

    /// A topic is gone: what the catalogue knows of it goes too. Of a partition that is nothing.
    pub fn plan_topic_gone(&self, topic: &TopicName) -> Vec<Change> {
        let mut plan = Vec::new();
        let mut drop = |key: String, known: bool| {
            if known {
                plan.push(Change { key, expect: Expect::Any, value: None });
            }
        };
        let name = topic.as_str();
        if topic.partition() >= 0 && self.partitioned.contains_key(topic.base().as_str()) {
            return plan;
        }
        drop(format!("partitioned/{name}"), self.partitioned.contains_key(name));
        drop(format!("policies/{name}"), self.topic_policies.contains_key(name));
        plan.extend(self.plan_schemas_gone(&names::schema_id(topic)));
        let grants = |policies: &mut Policies| {
            let mut auth = policies.get("auth_policies").cloned().unwrap_or_default();
            if let Some(topics) = auth.get_mut("destination_auth").and_then(Value::as_object_mut) {
                topics.shift_remove(name);
            }
            policies
                .set("auth_policies", Some(&auth))
                .map(std::mem::drop)
                .map_err(|error| Refused::new(400, error.to_string()))
        };
        plan.extend(self.plan_policies(topic.namespace(), grants).unwrap_or_default());
        plan
    }
}

/// The refusal of everything below a namespace that is not there.
fn no_namespace() -> Refused {
    Refused::new(404, "Namespace does not exist")
}

fn bytes(map: &Map<String, Value>) -> Vec<u8> {
    serde_json::to_vec(map).expect("JSON values are written to memory")
}

fn record_bytes(record: &Partitioned) -> Vec<u8> {
    json!({ "partitions": record.partitions, "properties": record.properties }).to_string().into_bytes()
}

fn partition_count(asked: i64, most: u32, refusal: u16) -> Result<u32, Refused> {
    let most = if most == 0 { limit::PARTITIONS_MAX } else { most.min(limit::PARTITIONS_MAX) };
    match u32::try_from(asked).ok().filter(|count| *count > 0) {
        None => Err(Refused::new(refusal, "Number of partitions should be more than 0")),
        Some(count) if count > most => {
            Err(Refused::new(refusal, format!("Number of partitions should be less than or equal to {most}")))
        }
        Some(count) => Ok(count),
    }
}

/// Equal pieces of the hash range, as boundaries.
fn bundles(count: u64) -> Value {
    let boundary =
        |index: u64| format!("{:#010x}", if index == count { 0xffff_ffff } else { (index << 32) / count });
    json!({ "boundaries": (0..=count).map(boundary).collect::<Vec<_>>(), "numBundles": count })
}

fn check_clusters(policies: &Policies, tenant: &str, allowed: Vec<&str>) -> Result<(), Refused> {
    let named = policies.get("replication_clusters").and_then(Value::as_array);
    match named.into_iter().flatten().filter_map(Value::as_str).find(|name| !allowed.contains(name)) {
        Some(name) => Err(Refused::new(
            403,
            format!("Cluster [{name}] is not in the list of allowed clusters list for tenant [{tenant}]"),
        )),
        None => Ok(()),
    }
}
