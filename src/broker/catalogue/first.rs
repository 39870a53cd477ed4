//! What a new data folder begins with (broker 2.2).

use serde_json::{Map, Value, json};

use crate::broker::catalogue::{Catalogue, Change, Expect, Policies};

/// Settings of the first start.
#[derive(Clone, Debug)]
pub struct FirstStart {
    /// Name of the cluster (`clusterName`).
    pub cluster: String,
    /// Administrators of the first tenants (`superUserRoles`).
    pub super_users: Vec<String>,
    /// Keep what is published to `public/default` as the original does: no longer than it is needed (`stock`).
    pub stock: bool,
}

/// What is published to `public/default` is kept for a day or up to a GiB, although nobody has subscribed: a newcomer's first
/// messages must not vanish (broker 10.3).
const RETENTION_MINUTES: u32 = 24 * 60;
const RETENTION_MIB: u32 = 1024;

impl Catalogue {
    /// Cluster, tenants and namespaces of a new data folder; nothing once there is any tenant. What a person deleted stays deleted.
    pub fn plan_first_start(&self, first: &FirstStart) -> Vec<Change> {
        let mut plan = Vec::new();
        let mut add = |key: String, value: &Map<String, Value>| {
            let value = Some(Value::Object(value.clone()).to_string().into_bytes());
            plan.push(Change { key, expect: Expect::Absent, value });
        };
        if self.cluster(&first.cluster).is_none() {
            add(format!("cluster/{}", first.cluster), &Map::new());
        }
        if self.tenants().next().is_some() {
            return plan;
        }
        let info = json!({ "adminRoles": first.super_users, "allowedClusters": [first.cluster] });
        let info = info.as_object().expect("written as an object");
        let system = Policies::fresh(&first.cluster);
        let mut default = system.clone();
        if !first.stock {
            let retention =
                json!({ "retentionTimeInMinutes": RETENTION_MINUTES, "retentionSizeInMB": RETENTION_MIB });
            default.set("retention_policies", Some(&retention)).expect("the shape of retention");
        }
        add("tenant/public".into(), info);
        add("tenant/pulsar".into(), info);
        add("namespace/public/default".into(), default.members());
        add("namespace/pulsar/system".into(), system.members());
        plan
    }
}
