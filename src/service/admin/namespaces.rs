//! `/admin/v2/namespaces` (broker 6.3), except its policies.

use serde_json::{Map, Value, json};

use crate::broker::admin::{AdminAsk, Refused};
use crate::broker::catalogue::{Policies, names};
use crate::service::admin::cx::{Cx, Flow, Stop, sorted_names};
use crate::service::admin::policies;
use crate::service::admin::route::Handler;
use crate::service::admin::web::WebAnswer;
use crate::wire::route::TopicName;

const NAMESPACE_MISSING: &str = "Namespace does not exist";

pub(super) fn find(method: &str, path: &[&str]) -> Option<Handler> {
    Some(match (method, path) {
        ("GET", [_]) => of_tenant,
        ("GET", [_, _]) => show,
        ("PUT", [_, _]) => create,
        ("DELETE", [_, _]) => delete,
        ("GET", [_, _, "topics"]) => topics,
        ("GET", [_, _, "bundles"]) => |cx| member(cx, "bundles"),
        ("GET", [_, _, "permissions"]) => |cx| grants(cx, "namespace_auth"),
        ("GET", [_, _, "permissions", "subscription"]) => |cx| grants(cx, "subscription_auth_roles"),
        ("POST", [_, _, "permissions", "subscription", _]) => grant_subscription,
        ("POST", [_, _, "permissions", _]) => grant,
        ("DELETE", [_, _, "permissions", _]) => revoke,
        ("DELETE", [_, _, "permissions", _, _]) => revoke_subscription,
        ("GET", [_, _, "replication"]) => |cx| member(cx, "replication_clusters"),
        ("POST", [_, _, "replication"]) => set_replication,
        ("PUT", [_, _, "unload"]) | ("PUT", [_, _, _, "unload"]) => unload,
        ("PUT", [_, _, _, "split"]) => split,
        ("POST", [_, _, "clearBacklog"]) => |cx| clear_backlog(cx, None),
        ("POST", [_, _, "clearBacklog", _]) => |cx| {
            let subscription = cx.path(4).to_owned();
            clear_backlog(cx, Some(subscription))
        },
        ("POST", [_, _, _, "clearBacklog"]) => |cx| clear_backlog(cx, None),
        ("POST", [_, _, _, "clearBacklog", _]) => |cx| {
            let subscription = cx.path(5).to_owned();
            clear_backlog(cx, Some(subscription))
        },
        ("POST", [_, _, "unsubscribe", _]) => |cx| {
            let subscription = cx.path(4).to_owned();
            unsubscribe(cx, subscription)
        },
        ("POST", [_, _, _, "unsubscribe", _]) => |cx| {
            let subscription = cx.path(5).to_owned();
            unsubscribe(cx, subscription)
        },
        (_, [_, _, rest @ ..]) => return policies::find(method, rest),
        _ => return None,
    })
}

fn of_tenant(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let tenant = cx.path(1);
    if cx.catalogue.tenant(tenant).is_none() {
        return Err(Refused::new(404, "Tenant not found").into());
    }
    Ok(WebAnswer::json(&cx.catalogue.namespaces_of(tenant).collect()))
}

/// The policies of the namespace of the path.
pub(super) fn policies_of<'a>(cx: &Cx<'a>) -> Flow<&'a Policies> {
    let namespace = cx.namespace()?;
    cx.catalogue.namespace(&namespace).ok_or_else(|| Stop::from(Refused::new(404, NAMESPACE_MISSING)))
}

fn show(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    Ok(WebAnswer::json(&Value::Object(policies_of(cx)?.members().clone())))
}

fn member(cx: &mut Cx<'_>, name: &str) -> Flow<WebAnswer> {
    Ok(WebAnswer::json_or_empty(policies_of(cx)?.get(name)))
}

fn create(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let (tenant, local, given, cluster) = (cx.path(1), cx.path(2), cx.object()?, cx.config.cluster.as_str());
    cx.write(|catalogue| catalogue.plan_namespace(tenant, local, given.as_ref(), cluster))?;
    Ok(WebAnswer::done())
}

fn delete(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let namespace = cx.namespace()?;
    let force = cx.request.query.flag("force");
    if force && !cx.config.force_delete_namespace {
        return Err(Refused::new(405, "Broker doesn't allow forced deletion of namespaces").into());
    }
    cx.known_namespace(NAMESPACE_MISSING)?;
    delete_namespaces(cx, &[namespace], force)?;
    Ok(WebAnswer::done())
}

/// Deletes namespaces one after the other, their topics first.
pub(super) fn delete_namespaces(cx: &mut Cx<'_>, namespaces: &[String], force: bool) -> Flow<()> {
    for namespace in namespaces {
        let lists = cx.ask_all(|| AdminAsk::List { namespace: namespace.clone() })?;
        let topics: Vec<TopicName> = sorted_names(lists)
            .into_iter()
            .filter_map(|name| names::topic(name).ok())
            .filter(|name| force || !names::is_system(name))
            .collect();
        cx.check(|cx| match !force && cx.catalogue.partitioned_of(namespace).next().is_some() {
            true => Err(Refused::new(409, "Cannot delete non empty namespace")),
            false => Ok(()),
        })?;
        if !force && !topics.is_empty() {
            return Err(Refused::new(409, "Cannot delete non empty namespace").into());
        }
        let deleted = cx.ask(|cx| {
            let delete = |topic: &TopicName| {
                (cx.store_of(topic), AdminAsk::Delete { topic: topic.to_string(), force: true })
            };
            topics.iter().map(delete).collect()
        })?;
        super::cx::first_refusal(deleted, Some(404))?;
        cx.write(|catalogue| match catalogue.namespace(namespace) {
            Some(_) => catalogue.plan_namespace_delete(namespace),
            None => Ok(Vec::new()),
        })?;
    }
    Ok(())
}

fn topics(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let namespace = cx.known_namespace(NAMESPACE_MISSING)?;
    let mode = cx.request.query.get("mode").unwrap_or("PERSISTENT");
    if !["PERSISTENT", "NON_PERSISTENT", "ALL"].contains(&mode) {
        return Err(Refused::new(404, "HTTP 404 Not Found").into());
    }
    let system = cx.request.query.flag("includeSystemTopic");
    let lists = cx.ask_all(|| AdminAsk::List { namespace: namespace.clone() })?;
    let wanted = |name: &&str| {
        let persistent = name.starts_with("persistent://");
        let right_domain = match mode {
            "ALL" => true,
            "NON_PERSISTENT" => !persistent,
            _ => persistent,
        };
        right_domain && (system || !is_system(name))
    };
    Ok(WebAnswer::json(&sorted_names(lists).into_iter().filter(wanted).collect()))
}

/// A name as the hosts list it is one of the broker's own.
pub(super) fn is_system(name: &str) -> bool {
    names::topic(name).is_ok_and(|name| names::is_system(&name))
}

fn grants(cx: &mut Cx<'_>, kind: &str) -> Flow<WebAnswer> {
    let policies = policies_of(cx)?;
    Ok(WebAnswer::json_or_empty(policies.get("auth_policies").and_then(|auth| auth.get(kind))))
}

/// Changes one of the maps of permissions.
pub(super) fn change_grants(
    cx: &mut Cx<'_>,
    namespace: &str,
    edit: impl Fn(&mut Map<String, Value>),
) -> Flow<WebAnswer> {
    cx.write(|catalogue| {
        catalogue.plan_policies(namespace, |policies| {
            let mut auth =
                policies.get("auth_policies").and_then(Value::as_object).cloned().unwrap_or_default();
            edit(&mut auth);
            let set = policies.set("auth_policies", Some(&Value::Object(auth)));
            set.map(drop).map_err(|error| Refused::new(400, error.to_string()))
        })
    })?;
    Ok(WebAnswer::done())
}

/// A map within a map, made if it is missing.
pub(super) fn inner<'a>(map: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let value = map.entry(name).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("made one just now")
}

fn grant(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let (role, actions) = (cx.path(4), cx.body()?.unwrap_or_else(|| json!([])));
    let namespace = cx.namespace()?;
    change_grants(cx, &namespace, |auth| {
        drop(inner(auth, "namespace_auth").insert(role.to_owned(), actions.clone()));
    })
}

fn revoke(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let (role, namespace) = (cx.path(4), cx.namespace()?);
    change_grants(cx, &namespace, |auth| drop(inner(auth, "namespace_auth").shift_remove(role)))
}

fn grant_subscription(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let (subscription, roles) = (cx.path(5), cx.body()?.unwrap_or_else(|| json!([])));
    let namespace = cx.namespace()?;
    change_grants(cx, &namespace, |auth| {
        drop(inner(auth, "subscription_auth_roles").insert(subscription.to_owned(), roles.clone()));
    })
}

fn revoke_subscription(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let (subscription, role, namespace) = (cx.path(4), cx.path(5), cx.namespace()?);
    change_grants(cx, &namespace, |auth| {
        let all = inner(auth, "subscription_auth_roles");
        if let Some(roles) = all.get_mut(subscription).and_then(Value::as_array_mut) {
            roles.retain(|given| given != role);
        }
    })
}

/// To this cluster it replicates always, to others never.
fn set_replication(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    policies_of(cx)?;
    let clusters = cx.body()?.unwrap_or_else(|| json!([]));
    let clusters: Vec<&str> = clusters.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if clusters.is_empty() {
        return Err(Refused::new(412, "ClusterIds should not be null or empty").into());
    }
    match clusters.iter().find(|name| **name != cx.config.cluster) {
        Some(other) => Err(Refused::new(403, format!("Invalid cluster id: {other}")).into()),
        None => Ok(WebAnswer::empty()),
    }
}

/// A bundle is two neighbouring boundaries. All topics of the namespace are let go, of whichever bundle: they come back by themselves.
fn unload(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let namespace = cx.known_namespace("Namespace not found")?;
    if cx.path(4) == "unload" {
        check_bundle(cx)?;
    }
    cx.ask_all(|| AdminAsk::UnloadNamespace { namespace: Some(namespace.clone()) })?;
    Ok(WebAnswer::done())
}

fn check_bundle(cx: &mut Cx<'_>) -> Flow<usize> {
    let range = cx.path(3);
    let policies = policies_of(cx)?;
    let boundaries = policies.get("bundles").and_then(|bundles| bundles.get("boundaries"));
    let boundaries: Vec<&str> =
        boundaries.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let found = boundaries.windows(2).position(|pair| range == format!("{}_{}", pair[0], pair[1]));
    found.ok_or_else(|| Refused::new(412, format!("Invalid bundle range: {range}")).into())
}

fn split(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let namespace = cx.known_namespace("Namespace not found")?;
    let range = cx.path(3);
    let halve = |policies: &mut Policies| {
        let wrong = || Refused::new(412, format!("Invalid bundle range: {range}"));
        let mut bundles = policies.get("bundles").cloned().unwrap_or_default();
        let number = |text: &str| u32::from_str_radix(text.strip_prefix("0x")?, 16).ok();
        let (low, high) = range.split_once('_').ok_or_else(wrong)?;
        let (low, high) = (number(low).ok_or_else(wrong)?, number(high).ok_or_else(wrong)?);
        let list = bundles.get_mut("boundaries").and_then(Value::as_array_mut).ok_or_else(wrong)?;
        let edge = |number: u32| json!(format!("{number:#010x}"));
        let at = list.windows(2).position(|pair| pair[0] == edge(low) && pair[1] == edge(high));
        let (at, middle) = (at.ok_or_else(wrong)?, low + (high - low) / 2);
        if middle == low || list.len() as u64 > crate::base::limit::NAMESPACE_BUNDLES_MAX {
            return Err(wrong());
        }
        list.insert(at + 1, edge(middle));
        let count = list.len() - 1;
        bundles["numBundles"] = json!(count);
        policies
            .set("bundles", Some(&bundles))
            .map(drop)
            .map_err(|error| Refused::new(400, error.to_string()))
    };
    cx.write(|catalogue| catalogue.plan_policies(&namespace, halve))?;
    Ok(WebAnswer::done())
}

fn clear_backlog(cx: &mut Cx<'_>, subscription: Option<String>) -> Flow<WebAnswer> {
    let namespace = cx.known_namespace(NAMESPACE_MISSING)?;
    let ask = || AdminAsk::ClearBacklog { namespace: namespace.clone(), subscription: subscription.clone() };
    cx.ask_all(ask)?;
    Ok(WebAnswer::done())
}

fn unsubscribe(cx: &mut Cx<'_>, subscription: String) -> Flow<WebAnswer> {
    let namespace = cx.known_namespace(NAMESPACE_MISSING)?;
    cx.ask_all(|| AdminAsk::Unsubscribe {
        namespace: namespace.clone(),
        subscription: subscription.clone(),
    })?;
    Ok(WebAnswer::done())
}
