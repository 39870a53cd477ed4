//! Brokers, health, numbers of the whole broker, and what a broker of this kind does not have (broker 6.6).

use serde_json::{Map, Value, json};

use crate::base::limit;
use crate::broker::admin::{AdminAnswer, AdminAsk, Refused};
use crate::broker::stats::{HostCounts, TopicStats};
use crate::service::admin::cx::{Cx, Flow};
use crate::service::admin::route::Handler;
use crate::service::admin::stats::{object, publisher_json, subscription_json};
use crate::service::admin::web::{METRICS_TYPE, WebAnswer};
use crate::store::StoreId;

/// `path` is what follows `/admin/v2`.
pub(super) fn find(method: &str, path: &[&str]) -> Option<Handler> {
    Some(match (method, path) {
        ("GET", ["brokers"]) => list,
        ("GET", ["brokers", "leaderBroker"]) => leader,
        ("GET", ["brokers", "health"]) => health,
        ("GET", ["brokers", "ready"]) => |_| Ok(WebAnswer::text(b"ok".to_vec())),
        ("GET", ["brokers", "version"]) => |_| Ok(WebAnswer::text(b"4.0.7".to_vec())),
        ("GET", ["brokers", "backlog-quota-check"]) => |cx| {
            cx.ask_all(|| AdminAsk::CheckQuotas)?;
            Ok(WebAnswer::done())
        },
        ("GET", ["brokers", "configuration"]) => |_| Ok(WebAnswer::json(&json!([]))),
        ("GET", ["brokers", "configuration", "values"]) => |_| Ok(WebAnswer::json(&json!({}))),
        ("GET", ["brokers", "configuration", "runtime"]) => runtime,
        ("POST", ["brokers", "configuration", _, _]) => {
            |_| Err(Refused::new(412, "Can't update non-dynamic configuration").into())
        }
        ("DELETE", ["brokers", "configuration", _]) => {
            |_| Err(Refused::new(412, "Can't delete non-dynamic configuration").into())
        }
        ("GET", ["brokers", "internal-configuration"]) => |_| Ok(WebAnswer::json(&internal_configuration())),
        ("GET", ["brokers", _]) => list,
        ("GET", ["brokers", _, _, "ownedNamespaces"]) => owned,
        ("GET", ["broker-stats", "metrics"]) => metrics_json,
        ("GET", ["broker-stats", "topics"]) => topics,
        ("GET", ["broker-stats", "load-report"]) => load_report,
        ("GET", ["broker-stats", "mbeans"]) => |_| Ok(WebAnswer::json(&json!([]))),
        ("GET", ["broker-stats", "allocator-stats", _]) => |_| Ok(WebAnswer::json(&json!({}))),
        ("GET", ["bookies", "all"]) => |_| Ok(WebAnswer::json(&json!({ "bookies": [] }))),
        ("GET", ["bookies", "racks-info"]) => |_| Ok(WebAnswer::json(&json!({}))),
        ("GET", ["resourcegroups"]) => |_| Ok(WebAnswer::json(&json!([]))),
        ("GET", ["resource-quotas"]) => |_| {
            Ok(WebAnswer::json(&json!({ "msgRateIn": 40.0, "msgRateOut": 120.0, "bandwidthIn": 100_000.0,
                "bandwidthOut": 300_000.0, "memory": 80.0, "dynamic": true })))
        },
        _ => return None,
    })
}

/// What other services of the original answer when they are switched off.
pub(super) fn find_absent(path: &[&str]) -> Option<Handler> {
    Some(match *path.first()? {
        "functions" | "function" | "sources" | "source" | "sinks" | "sink" | "worker" | "worker-stats" => {
            |_| {
                let reason =
                    "Pulsar Function Worker is not enabled, probably functionsWorkerEnabled is set to false";
                Err(Refused::new(409, reason).into())
            }
        }
        "packages" => {
            |_| Err(Refused::new(503, "Package Management Service is not enabled in the broker.").into())
        }
        "transactions" => |_| {
            let reason = "This Broker is not configured with transactionCoordinatorEnabled=true.";
            Err(Refused::new(503, reason).into())
        },
        _ => return None,
    })
}

pub(super) fn find_metrics(method: &str) -> Option<Handler> {
    (method == "GET").then_some(metrics_page as Handler)
}

fn list(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    Ok(WebAnswer::json(&json!([cx.web_address()])))
}

fn leader(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let address = cx.web_address();
    Ok(WebAnswer::json(&json!({ "serviceUrl": format!("http://{address}"), "brokerId": address })))
}

/// One message to each store and back.
fn health(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    cx.deadline(limit::HEALTH_TIME_MAX)?;
    cx.ask_all(|| AdminAsk::Health)?;
    Ok(WebAnswer::text(b"ok".to_vec()))
}

fn runtime(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let pairs = cx.config.runtime.iter().map(|(key, value)| (key.clone(), Value::String(value.clone())));
    Ok(WebAnswer::json(&Value::Object(pairs.collect())))
}

fn internal_configuration() -> Value {
    json!({ "zookeeperServers": "", "configurationStoreServers": "", "metadataStoreUrl": "",
        "configurationMetadataStoreUrl": "", "ledgersRootPath": "/ledgers" })
}

fn boundaries(policies: &crate::broker::catalogue::Policies) -> Vec<&str> {
    let list = policies.get("bundles").and_then(|bundles| bundles.get("boundaries"));
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

fn owned(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let mut owned = Map::new();
    for name in cx.catalogue.namespaces() {
        let Some(policies) = cx.catalogue.namespace(name) else { continue };
        for pair in boundaries(policies).windows(2) {
            let status = json!({ "broker_assignment": "shared", "is_controlled": false, "is_active": true });
            owned.insert(format!("{name}/{}_{}", pair[0], pair[1]), status);
        }
    }
    Ok(WebAnswer::json(&Value::Object(owned)))
}

/// The sums of all hosts.
fn counts(cx: &mut Cx<'_>) -> Flow<HostCounts> {
    let answers = cx.ask_all(|| AdminAsk::Counts)?;
    let mut sum = HostCounts::default();
    for answer in answers {
        if let AdminAnswer::Counts(counts) = answer {
            add_counts(&mut sum, counts);
        }
    }
    Ok(sum)
}

fn add_counts(sum: &mut HostCounts, more: &HostCounts) {
    sum.topics += more.topics;
    sum.loaded += more.loaded;
    sum.subscriptions += more.subscriptions;
    sum.producers += more.producers;
    sum.consumers += more.consumers;
    sum.backlog += more.backlog;
    sum.storage_bytes += more.storage_bytes;
    sum.damaged += more.damaged;
    sum.scrubbed_bytes += more.scrubbed_bytes;
    for (sum, more) in [(&mut sum.published, &more.published), (&mut sum.delivered, &more.delivered)] {
        sum.rate += more.rate;
        sum.throughput += more.throughput;
        sum.messages += more.messages;
        sum.bytes += more.bytes;
    }
}

fn metrics_json(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let counts = counts(cx)?;
    let metrics = json!({ "brk_ml_count": counts.topics, "brk_ml_cache_used_size": 0 });
    let rates = json!({ "brk_topics_count": counts.topics, "brk_subscriptions_count": counts.subscriptions,
        "brk_producers_count": counts.producers, "brk_consumers_count": counts.consumers,
        "brk_in_rate": counts.published.rate, "brk_in_tp_rate": counts.published.throughput,
        "brk_out_rate": counts.delivered.rate, "brk_out_tp_rate": counts.delivered.throughput });
    Ok(WebAnswer::json(&json!([
        { "metrics": metrics, "dimensions": {} },
        { "metrics": rates, "dimensions": {} },
    ])))
}

/// All loaded topics in the older, shorter form, by namespace and bundle.
fn topics(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let answers = cx.ask_all(|| AdminAsk::AllStats { namespace: None })?;
    let all = answers.iter().filter_map(|answer| match answer {
        AdminAnswer::AllStats(list) => Some(list),
        _ => None,
    });
    let mut namespaces: Map<String, Value> = Map::new();
    for (name, stats) in all.flatten() {
        let Some((domain, rest)) = name.split_once("://") else { continue };
        let Some((namespace, _)) = rest.rsplit_once('/') else { continue };
        let publishers: Vec<Value> = stats
            .publishers
            .iter()
            .map(|publisher| publisher_json(publisher, stats.persistent).into())
            .collect();
        let subscriptions = stats.subscriptions.iter().map(|(name, subscription)| {
            (name.clone(), Value::Object(subscription_json(subscription, stats.persistent)))
        });
        let shown = object([
            ("publishers", Value::Array(publishers)),
            ("replication", json!({})),
            ("subscriptions", Value::Object(subscriptions.collect())),
            ("producerCount", stats.publishers.len().into()),
            ("averageMsgSize", stats.average_message_size.into()),
            ("msgRateIn", stats.published.rate.into()),
            ("msgRateOut", stats.delivered.rate.into()),
            ("msgInCount", stats.published.messages.into()),
            ("bytesInCount", stats.published.bytes.into()),
            ("msgOutCount", stats.delivered.messages.into()),
            ("bytesOutCount", stats.delivered.bytes.into()),
            ("msgThroughputIn", stats.published.throughput.into()),
            ("msgThroughputOut", stats.delivered.throughput.into()),
            ("storageSize", stats.storage_bytes.into()),
            ("backlogSize", stats.backlog_bytes.into()),
        ]);
        let bundles = namespaces.entry(namespace).or_insert_with(|| json!({}));
        let bundle = bundles.as_object_mut().expect("made as an object");
        let domains = bundle.entry("0x00000000_0xffffffff").or_insert_with(|| json!({}));
        let topics = domains.as_object_mut().expect("made as an object").entry(domain);
        let topics = topics.or_insert_with(|| json!({}));
        topics.as_object_mut().expect("made as an object").insert(name.clone(), Value::Object(shown));
    }
    Ok(WebAnswer::json(&Value::Object(namespaces)))
}

fn load_report(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let counts = counts(cx)?;
    let address = cx.web_address();
    let mut bundles = Vec::new();
    for name in cx.catalogue.namespaces() {
        let Some(policies) = cx.catalogue.namespace(name) else { continue };
        bundles.extend(boundaries(policies).windows(2).map(|pair| format!("{name}/{}_{}", pair[0], pair[1])));
    }
    Ok(WebAnswer::json(&json!({
        "webServiceUrl": format!("http://{address}"),
        "pulsarServiceUrl": cx.binary_url(),
        "persistentTopicsEnabled": true,
        "nonPersistentTopicsEnabled": true,
        "msgThroughputIn": counts.published.throughput,
        "msgThroughputOut": counts.delivered.throughput,
        "msgRateIn": counts.published.rate,
        "msgRateOut": counts.delivered.rate,
        "lastUpdate": cx.clock.wall.0,
        "numTopics": counts.topics,
        "numBundles": bundles.len(),
        "numConsumers": counts.consumers,
        "numProducers": counts.producers,
        "bundles": bundles,
        "loadReportType": "LocalBrokerData",
    })))
}

/// Numbers of topics as Prometheus text. A store that failed has none, but its state is told.
fn metrics_page(cx: &mut Cx<'_>) -> Flow<WebAnswer> {
    let stores = || (0..cx.config.stores).map(StoreId);
    let asks = stores().map(|store| (store, AdminAsk::AllStats { namespace: None }));
    let asks = asks.chain(stores().map(|store| (store, AdminAsk::Counts))).collect();
    let answers = cx.ask(|_| asks)?;
    let mut topics: Vec<(&str, &TopicStats)> = Vec::new();
    let (mut sum, mut states) = (HostCounts::default(), Vec::new());
    for answer in answers {
        match answer {
            AdminAnswer::AllStats(list) => {
                topics.extend(list.iter().map(|(name, stats)| (name.as_str(), stats)));
            }
            AdminAnswer::Counts(counts) => {
                add_counts(&mut sum, counts);
                states.push(counts.state);
            }
            _ => {}
        }
    }
    topics.sort_unstable_by_key(|(name, _)| *name);
    let text = super::prometheus::page(&cx.config.cluster, &sum, &states, &topics);
    Ok(WebAnswer { content_type: METRICS_TYPE, ..WebAnswer::text(text.into_bytes()) })
}
