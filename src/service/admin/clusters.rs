//! `/admin/v2/clusters` (broker 6.1). There is one cluster; records of others are kept for tools' sake.

use serde_json::{Map, Value, json};

use crate::broker::admin::Refused;
use crate::service::admin::cx::{Cx, Flow, Stop};
use crate::service::admin::route::Handler;
use crate::service::admin::web::WebAnswer;

pub(super) fn find(method: &str, path: &[&str]) -> Option<Handler> {
    Some(match (method, path) {
        ("GET", []) => list,
        ("GET", [_]) => show,
        ("PUT", [_]) => |cx| put(cx, true),
        ("POST", [_]) => |cx| put(cx, false),
        ("DELETE", [_]) => delete,
        ("GET", [_, "peers"]) => |cx| {
            known(cx)?;
            Ok(WebAnswer::empty())
        },
        ("POST", [_, "peers"]) => set_peers,
        ("GET", [_, "failureDomains"]) => |_| Ok(WebAnswer::json(&json!({}))),
        ("GET", [_, "namespaceIsolationPolicies"]) => |cx| {
            let reason = format!("NamespaceIsolationPolicies for cluster {} does not exist", cx.path(1));
            Err(Refused::new(404, reason).into())
        },
        _ => return None,
    })
}

fn list(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    Ok(WebAnswer::json(&cx.catalogue.clusters().collect()))
}

fn known(cx: &mut Cx<'_>) -> Flow<Map<String, Value>> {
    let missing = || Stop::from(Refused::new(404, "Cluster does not exist"));
    cx.catalogue.cluster(cx.path(1)).cloned().ok_or_else(missing)
}

/// What was stored; of our own cluster, with nothing stored, where it is.
fn show(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let mut data = known(cx)?;
    if data.is_empty() && cx.path(1) == cx.config.cluster {
        data.insert("serviceUrl".into(), format!("http://{}", cx.web_address()).into());
        data.insert("brokerServiceUrl".into(), cx.binary_url().into());
    }
    for flag in ["brokerClientTlsEnabled", "tlsAllowInsecureConnection", "brokerClientTlsEnabledWithKeyStore"]
    {
        data.entry(flag).or_insert(Value::Bool(false));
    }
    Ok(WebAnswer::json(&Value::Object(data)))
}

fn put(cx: &mut Cx<'_>, new: bool) -> Flow<WebAnswer> {
    let Some(data) = cx.object()? else { return Err(Refused::new(400, "ClusterData is null").into()) };
    let data = data.into_iter().filter(|(_, value)| !value.is_null()).collect();
    let name = cx.path(1);
    cx.write(|catalogue| catalogue.plan_cluster(name, &data, new))?;
    Ok(WebAnswer::empty())
}

fn delete(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let (name, own) = (cx.path(1), cx.config.cluster.as_str());
    cx.write(|catalogue| catalogue.plan_cluster_delete(name, own))?;
    Ok(WebAnswer::done())
}

/// Peers are checked and forgotten: there is nobody to replicate to.
fn set_peers(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    known(cx)?;
    let own = cx.path(1);
    let peers = cx.body()?.unwrap_or_else(|| json!([]));
    for peer in peers.as_array().into_iter().flatten().filter_map(Value::as_str) {
        if peer == own {
            return Err(Refused::new(412, format!("{peer} itself can't be part of peer-list")).into());
        }
        if cx.catalogue.cluster(peer).is_none() {
            return Err(Refused::new(412, format!("Peer cluster {peer} does not exist")).into());
        }
    }
    Ok(WebAnswer::done())
}
