//! `/admin/v2/tenants` (broker 6.2).

use serde_json::Value;

use crate::broker::admin::Refused;
use crate::service::admin::cx::{Cx, Flow};
use crate::service::admin::namespaces::delete_namespaces;
use crate::service::admin::route::Handler;
use crate::service::admin::web::WebAnswer;

pub(super) fn find(method: &str, path: &[&str]) -> Option<Handler> {
    Some(match (method, path) {
        ("GET", []) => |cx| Ok(WebAnswer::json(&cx.catalogue.tenants().collect())),
        ("GET", [_]) => show,
        ("PUT", [_]) => |cx| put(cx, true),
        ("POST", [_]) => |cx| put(cx, false),
        ("DELETE", [_]) => delete,
        _ => return None,
    })
}

fn show(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    match cx.catalogue.tenant(cx.path(1)) {
        Some(tenant) => Ok(WebAnswer::json(&Value::Object(tenant.info.clone()))),
        None => Err(Refused::new(404, "Tenant does not exist").into()),
    }
}

fn put(cx: &mut Cx<'_>, new: bool) -> Flow<WebAnswer> {
    let (name, info, most) = (cx.path(1), cx.object()?, cx.config.tenants_max);
    cx.write(|catalogue| catalogue.plan_tenant(name, info.as_ref(), new, most))?;
    Ok(WebAnswer::done())
}

fn delete(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let name = cx.path(1);
    let force = cx.request.query.flag("force");
    if force && !cx.config.force_delete_tenant {
        return Err(Refused::new(405, "Broker doesn't allow forced deletion of tenants").into());
    }
    if force {
        let namespaces = cx.names(|cx| cx.catalogue.namespaces_of(name).map(str::to_owned).collect())?;
        delete_namespaces(cx, namespaces, true)?;
    }
    cx.write(|catalogue| catalogue.plan_tenant_delete(name))?;
    Ok(WebAnswer::done())
}
