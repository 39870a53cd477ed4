//! Policies of a namespace, and of a topic itself: JSON members in their fixed order, each of its shape.

use serde_json::{Map, Value};

use crate::broker::catalogue::shape::{Field, MEMBERS, Shape, TOPIC_MEMBERS, fresh, read_fields};

/// Policies of a namespace. Always all that a fresh one has; further members once they are set.
#[derive(Clone, Debug, PartialEq)]
pub struct Policies {
    members: Map<String, Value>,
}

/// Policies of a topic itself: only what is set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopicPolicies {
    members: Map<String, Value>,
}

/// A member does not have the form that it must have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid value of {0}")]
pub struct MemberError(pub String);

impl Policies {
    /// Those of a fresh namespace of this cluster.
    pub fn fresh(cluster: &str) -> Policies {
        let mut policies = Policies { members: read_fields(MEMBERS, &Map::new()).expect("fresh values fit") };
        let clusters = Value::Array(vec![cluster.into()]);
        policies.set("replication_clusters", Some(&clusters)).expect("a list of texts");
        policies.set("clusterThatCanDeleteNamespace", Some(&cluster.into())).expect("a text");
        policies
    }

    /// What a client gave: unknown members are dropped, those not given are as in a fresh namespace.
    pub fn parse(map: &Map<String, Value>) -> Result<Policies, MemberError> {
        read_fields(MEMBERS, map)
            .map(|members| Policies { members })
            .map_err(|name| MemberError(name.to_owned()))
    }

    /// What was stored. A member that cannot be read is as in a fresh namespace.
    pub(super) fn read(map: &Map<String, Value>) -> Policies {
        let mut map = map.clone();
        loop {
            match read_fields(MEMBERS, &map) {
                Ok(members) => return Policies { members },
                Err(name) => map.remove(name), // one fewer each time
            };
        }
    }

    /// A member; `None`: it is not set.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// Sets a member, or makes it what it is in a fresh namespace. Returns whether that changed something.
    pub fn set(&mut self, name: &str, value: Option<&Value>) -> Result<bool, MemberError> {
        set(MEMBERS, &mut self.members, name, value)
    }

    /// All members, in order: what the REST interface shows and the meta store keeps.
    pub fn members(&self) -> &Map<String, Value> {
        &self.members
    }
}

impl TopicPolicies {
    pub(super) fn read(map: Map<String, Value>) -> TopicPolicies {
        let mut policies = TopicPolicies::default();
        for (name, value) in &map {
            // A member that cannot be read counts as not set.
            let _unknown = policies.set(name, Some(value));
        }
        policies
    }

    /// A member; `None`: it is not set.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// Sets or unsets a member. Returns whether that changed something.
    pub fn set(&mut self, name: &str, value: Option<&Value>) -> Result<bool, MemberError> {
        set(TOPIC_MEMBERS, &mut self.members, name, value)
    }

    /// Nothing is set.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// What is set.
    pub fn members(&self) -> &Map<String, Value> {
        &self.members
    }
}

fn set(
    fields: &[Field],
    members: &mut Map<String, Value>,
    name: &str,
    value: Option<&Value>,
) -> Result<bool, MemberError> {
    let wrong = || MemberError(name.to_owned());
    let field = fields.iter().find(|field| field.name == name).ok_or_else(wrong)?;
    let value = match value {
        Some(value) => Some(field.shape.read(value).ok_or_else(wrong)?),
        None => fresh(field),
    };
    if members.get(name) == value.as_ref() {
        return Ok(false);
    }
    let mut before = std::mem::take(members);
    match value {
        Some(value) => before.insert(name.to_owned(), value),
        None => before.remove(name),
    };
    // A new member takes its place in the order.
    *members = fields
        .iter()
        .filter_map(|field| before.remove(field.name).map(|value| (field.name.to_owned(), value)))
        .collect();
    Ok(true)
}

/// The shape of a namespace's member.
pub(super) fn shape_of(name: &str) -> Option<&'static Shape> {
    MEMBERS.iter().find(|field| field.name == name).map(|field| field.shape)
}
