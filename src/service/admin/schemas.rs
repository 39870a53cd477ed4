//! `/admin/v2/schemas` (broker 6.6).

use serde_json::{Map, Value, json};

use crate::broker::admin::Refused;
use crate::broker::catalogue::{SchemaRecord, names};
use crate::service::admin::cx::{Cx, Flow, Stop};
use crate::service::admin::route::Handler;
use crate::service::admin::web::WebAnswer;
use crate::wire::route::TopicName;

/// `path` is what follows `/admin/v2/schemas`.
pub(super) fn find(method: &str, path: &[&str]) -> Option<Handler> {
    let [_, _, _, rest @ ..] = path else { return None };
    Some(match (method, rest) {
        ("GET", ["schema"]) => |cx| show(cx, None),
        ("GET", ["schema", _]) => |cx| {
            let missing = || Stop::from(Refused::new(404, "HTTP 404 Not Found"));
            let version = cx.path(5).parse().map_err(|_| missing())?;
            show(cx, Some(version))
        },
        ("GET", ["schemas"]) => list,
        ("GET", ["metadata"]) => metadata,
        ("POST", ["schema"]) => register,
        ("POST", ["compatibility"]) => compatibility,
        ("POST", ["version"]) => version_of,
        ("DELETE", ["schema"]) => delete,
        _ => return None,
    })
}

fn topic(cx: &Cx<'_>) -> Flow<TopicName> {
    let (tenant, namespace, local) = (cx.path(1), cx.path(2), cx.path(3));
    names::check("Tenant", tenant)?;
    names::check("Namespace", namespace)?;
    let topic = names::topic(&format!("persistent://{tenant}/{namespace}/{local}"))?;
    match cx.catalogue.has_namespace(topic.namespace()) {
        true => Ok(topic),
        false => Err(Refused::new(404, "Namespace not found").into()),
    }
}

fn not_found() -> Stop {
    Refused::new(404, "Schema not found").into()
}

fn shown(version: u64, record: &SchemaRecord) -> Value {
    json!({ "version": version, "type": record.kind, "timestamp": record.timestamp,
        "data": String::from_utf8_lossy(&record.data), "properties": record.properties })
}

/// One version, or the newest.
fn show(cx: &mut Cx<'_>, version: Option<u64>) -> Flow<WebAnswer> {
    let id = names::schema_id(&topic(cx)?);
    let found = match version {
        None => cx.catalogue.schemas(&id).next_back(),
        Some(version) => cx.catalogue.schemas(&id).find(|(number, _)| *number == version),
    };
    match found.filter(|(_, record)| !record.deleted) {
        Some((number, record)) => Ok(WebAnswer::json(&shown(number, record))),
        None => Err(not_found()),
    }
}

fn list(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let id = names::schema_id(&topic(cx)?);
    let all: Vec<Value> = cx.catalogue.schemas(&id).map(|(number, record)| shown(number, record)).collect();
    Ok(WebAnswer::json(&json!({ "getSchemaResponses": all })))
}

fn metadata(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let id = names::schema_id(&topic(cx)?);
    let place =
        |(number, _): (u64, &SchemaRecord)| json!({ "ledgerId": -1, "entryId": -1, "version": number });
    let index: Vec<Value> = cx.catalogue.schemas(&id).map(place).collect();
    match index.last() {
        Some(last) => Ok(WebAnswer::json(&json!({ "info": last, "index": index }))),
        None => Err(not_found()),
    }
}

/// The schema of a body.
fn given(cx: &Cx<'_>) -> Flow<SchemaRecord> {
    let Some(body) = cx.object()? else { return Err(Refused::new(400, "a schema is needed").into()) };
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let properties = body.get("properties").and_then(Value::as_object).cloned();
    let properties: Map<String, Value> = properties.unwrap_or_default();
    let kind = text("type").to_ascii_uppercase();
    if !crate::broker::schema::KINDS.contains(&kind.as_str()) {
        return Err(Refused::new(400, format!("unknown schema type {kind}")).into());
    }
    let record = SchemaRecord {
        kind,
        timestamp: cx.clock.wall.0,
        data: text("schema").into_bytes(),
        properties,
        deleted: false,
    };
    match crate::broker::schema::check(&record) {
        Ok(()) => Ok(record),
        Err(why) => Err(Refused::new(422, why.to_string()).into()),
    }
}

fn strategy(cx: &Cx<'_>, topic: &TopicName) -> String {
    cx.catalogue.effective(topic, &cx.config.defaults).schema_compatibility
}

fn register(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = topic(cx)?;
    let (record, strategy) = (given(cx)?, strategy(cx, &topic));
    let id = names::schema_id(&topic);
    cx.write(|catalogue| match crate::broker::schema::verdict(catalogue, &id, &record, &strategy) {
        crate::broker::schema::Verdict::Known(_) => Ok(Vec::new()),
        crate::broker::schema::Verdict::New => Ok(vec![catalogue.plan_schema(&id, &record).1]),
        crate::broker::schema::Verdict::Refused(why) => Err(Refused::new(409, why)),
    })?;
    let version = crate::broker::schema::find(cx.catalogue, &id, &record);
    Ok(WebAnswer::json(&json!({ "version": { "version": version } })))
}

fn compatibility(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = topic(cx)?;
    let (record, strategy) = (given(cx)?, strategy(cx, &topic));
    let verdict = crate::broker::schema::verdict(cx.catalogue, &names::schema_id(&topic), &record, &strategy);
    let fits = !matches!(verdict, crate::broker::schema::Verdict::Refused(_));
    let answer = json!({ "schemaCompatibilityStrategy": strategy, "compatibility": fits });
    Ok(WebAnswer { status: 202, ..WebAnswer::json(&answer) })
}

fn version_of(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let (topic, record) = (topic(cx)?, given(cx)?);
    let found = crate::broker::schema::find(cx.catalogue, &names::schema_id(&topic), &record);
    let version = found.and_then(|version| i64::try_from(version).ok()).unwrap_or(-1);
    Ok(WebAnswer::json(&json!({ "version": version })))
}

/// A deletion is a version too: what comes after it starts from nothing.
fn delete(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let topic = topic(cx)?;
    let id = names::schema_id(&topic);
    let record = SchemaRecord {
        kind: "NONE".to_owned(),
        timestamp: cx.clock.wall.0,
        data: Vec::new(),
        properties: Map::new(),
        deleted: true,
    };
    if cx.request.query.flag("force") {
        let before = cx.count(|cx| u32::try_from(cx.catalogue.schemas(&id).count()).unwrap_or(u32::MAX))?;
        cx.write(|catalogue| Ok(catalogue.plan_schemas_gone(&id)))?;
        return Ok(WebAnswer::json(&json!({ "version": before })));
    }
    cx.write(|catalogue| Ok(vec![catalogue.plan_schema(&id, &record).1]))?;
    let version = cx.catalogue.schemas(&id).next_back().map_or(0, |(number, _)| number);
    Ok(WebAnswer::json(&json!({ "version": version })))
}
