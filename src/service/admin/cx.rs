//! What a handler sees, and how it asks. A handler runs from its beginning each time something that it waited for has come; the
//! steps that are done are handed to it in order. What it does between two steps may depend on the catalogue only by way of a
//! step, because the catalogue changes while it waits.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::base::time::Clock;
use crate::broker::admin::{AdminAnswer, AdminAsk, Refused};
use crate::broker::catalogue::{Catalogue, Change, Plan, names};
use crate::broker::host::store_of;
use crate::service::admin::AdminConfig;
use crate::service::admin::web::{AdminRequest, WebAnswer};
use crate::store::StoreId;
use crate::wire::route::TopicName;

/// A step that is done.
#[derive(Debug)]
pub(super) enum Step {
    /// Something was checked or written.
    Done,
    /// Answers of hosts, in the order of the questions.
    Answers(Vec<AdminAnswer>),
    /// Names that the catalogue knew.
    Names(Vec<String>),
    /// A number that the catalogue knew.
    Count(u32),
}

/// What a handler wants before it goes on.
pub(super) enum Wants {
    Note(Step),
    Asks(Vec<(StoreId, AdminAsk)>),
    Write(Vec<Change>),
    /// To be answered within this time at the latest.
    Deadline(Duration),
}

/// Why a handler ends before its end.
pub(super) enum Stop {
    Answer(WebAnswer),
    Wait(Wants),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Stop::Answer(refused.into())
    }
}

/// What a step brings, or why the handler ends here.
pub(super) type Flow<T> = Result<T, Stop>;

/// What a handler sees.
pub(super) struct Cx<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) config: &'a AdminConfig,
    pub(super) request: &'a AdminRequest,
    pub(super) clock: Clock,
    done: &'a [Step],
    at: usize,
}

impl<'a> Cx<'a> {
    pub(super) fn new(
        catalogue: &'a Catalogue,
        config: &'a AdminConfig,
        request: &'a AdminRequest,
        clock: Clock,
        done: &'a [Step],
    ) -> Cx<'a> {
        Cx { catalogue, config, request, clock, done, at: 0 }
    }

    fn step(&mut self, make: impl FnOnce(&Self) -> Flow<Wants>) -> Flow<&'a Step> {
        match self.done.get(self.at) {
            Some(step) => {
                self.at += 1;
                Ok(step)
            }
            None => Err(Stop::Wait(make(self)?)),
        }
    }

    /// Something is checked, once.
    pub(super) fn check(&mut self, check: impl FnOnce(&Self) -> Result<(), Refused>) -> Flow<()> {
        self.step(|cx| {
            check(cx)?;
            Ok(Wants::Note(Step::Done))
        })
        .map(drop)
    }

    /// Names as the catalogue knows them now, for the rest of the request.
    pub(super) fn names(&mut self, list: impl FnOnce(&Self) -> Vec<String>) -> Flow<&'a [String]> {
        match self.step(|cx| Ok(Wants::Note(Step::Names(list(cx)))))? {
            Step::Names(names) => Ok(names),
            _ => Ok(&[]),
        }
    }

    /// A number as the catalogue knows it now, for the rest of the request.
    pub(super) fn count(&mut self, count: impl FnOnce(&Self) -> u32) -> Flow<u32> {
        match self.step(|cx| Ok(Wants::Note(Step::Count(count(cx)))))? {
            Step::Count(count) => Ok(*count),
            _ => Ok(0),
        }
    }

    /// How many partitions a topic has, for the rest of the request; 0: it is no partitioned topic.
    pub(super) fn partitions(&mut self, topic: &TopicName) -> Flow<u32> {
        self.count(|cx| cx.catalogue.partitions(topic))
    }

    /// Writes to the meta store. If somebody else was faster, the plan is made anew.
    pub(super) fn write(&mut self, plan: impl FnOnce(&Catalogue) -> Plan) -> Flow<()> {
        self.step(|cx| {
            let plan = plan(cx.catalogue)?;
            Ok(if plan.is_empty() { Wants::Note(Step::Done) } else { Wants::Write(plan) })
        })
        .map(drop)
    }

    /// The request is answered within this time at the latest, whatever it waits for.
    pub(super) fn deadline(&mut self, time: Duration) -> Flow<()> {
        self.step(|_| Ok(Wants::Deadline(time))).map(drop)
    }

    /// Questions to hosts, refusals among the answers.
    pub(super) fn ask(
        &mut self,
        asks: impl FnOnce(&Self) -> Vec<(StoreId, AdminAsk)>,
    ) -> Flow<&'a [AdminAnswer]> {
        let step = self.step(|cx| {
            let asks = asks(cx);
            Ok(if asks.is_empty() { Wants::Note(Step::Answers(Vec::new())) } else { Wants::Asks(asks) })
        })?;
        match step {
            Step::Answers(answers) => Ok(answers),
            _ => Ok(&[]),
        }
    }

    /// A question to the host of a topic. A refusal is the request's answer.
    pub(super) fn ask_one(&mut self, topic: &TopicName, ask: AdminAsk) -> Flow<&'a AdminAnswer> {
        let store = self.store_of(topic);
        let answers = self.ask(|_| vec![(store, ask)])?;
        match answers.first() {
            Some(AdminAnswer::Refused(refused)) => Err(refused.clone().into()),
            Some(answer) => Ok(answer),
            None => Err(Refused::new(500, "no answer").into()),
        }
    }

    /// One question for each partition of a topic. The first refusal is the request's answer, except those of `but`.
    pub(super) fn ask_partitions(
        &mut self,
        topic: &TopicName,
        partitions: std::ops::Range<u32>,
        but: Option<u16>,
        ask: impl Fn(String) -> AdminAsk,
    ) -> Flow<&'a [AdminAnswer]> {
        let answers = self.ask(|cx| {
            let of = |index| {
                let name = topic.with_partition(index);
                (cx.store_of(&name), ask(name.to_string()))
            };
            partitions.map(of).collect()
        })?;
        first_refusal(answers, but)?;
        Ok(answers)
    }

    /// The same question for the hosts of all stores. The first refusal is the request's answer.
    pub(super) fn ask_all(&mut self, ask: impl Fn() -> AdminAsk) -> Flow<&'a [AdminAnswer]> {
        let answers = self.ask(|cx| (0..cx.config.stores).map(|store| (StoreId(store), ask())).collect())?;
        first_refusal(answers, None)?;
        Ok(answers)
    }

    /// Which store a topic is in.
    pub(super) fn store_of(&self, topic: &TopicName) -> StoreId {
        store_of(topic.as_str(), self.config.stores)
    }

    /// An element of the path behind `/admin/v2/`.
    pub(super) fn path(&self, index: usize) -> &'a str {
        self.request.path.at(index + 2)
    }

    /// The namespace of a path `x/{tenant}/{namespace}`, names checked.
    pub(super) fn namespace(&self) -> Flow<String> {
        let (tenant, namespace) = (self.path(1), self.path(2));
        names::check("Tenant", tenant)?;
        names::check("Namespace", namespace)?;
        Ok(format!("{tenant}/{namespace}"))
    }

    /// The namespace of a path, which must exist; `reason` if it does not.
    pub(super) fn known_namespace(&mut self, reason: &str) -> Flow<String> {
        let namespace = self.namespace()?;
        self.check(|cx| match cx.catalogue.namespace(&namespace) {
            Some(_) => Ok(()),
            None => Err(Refused::new(404, reason)),
        })?;
        Ok(namespace)
    }

    /// The topic of a path `{domain}/{tenant}/{namespace}/{topic}`.
    pub(super) fn topic(&self) -> Flow<TopicName> {
        let namespace = self.namespace()?;
        Ok(names::topic(&format!("{}://{namespace}/{}", self.path(0), self.path(3)))?)
    }

    /// The topic of a path, whose namespace must exist.
    pub(super) fn known_topic(&mut self) -> Flow<TopicName> {
        let topic = self.topic()?;
        self.check(|cx| match cx.catalogue.has_namespace(topic.namespace()) {
            true => Ok(()),
            false => Err(Refused::new(404, "Namespace not found")),
        })?;
        Ok(topic)
    }

    /// The body as JSON; `None`: it is empty.
    pub(super) fn body(&self) -> Flow<Option<Value>> {
        if self.request.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        match serde_json::from_slice(&self.request.body) {
            Ok(Value::Null) => Ok(None),
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(Stop::Answer(WebAnswer::malformed(&error.to_string()))),
        }
    }

    /// The body as an object; `None`: it is empty.
    pub(super) fn object(&self) -> Flow<Option<Map<String, Value>>> {
        match self.body()? {
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(_) => Err(Stop::Answer(WebAnswer::malformed("an object is expected"))),
            None => Ok(None),
        }
    }

    /// The body as a map of texts; empty if there is none.
    pub(super) fn text_map(&self) -> Flow<Vec<(String, String)>> {
        let map = self.object()?.unwrap_or_default();
        let text = |(key, value): (String, Value)| match value {
            Value::String(text) => Some((key, text)),
            Value::Number(_) | Value::Bool(_) => Some((key, value.to_string())),
            _ => None,
        };
        let texts = map.into_iter().map(text).collect::<Option<Vec<_>>>();
        texts.ok_or_else(|| Stop::Answer(WebAnswer::malformed("a map of texts is expected")))
    }

    /// `host:port` of the web service as the client knows it.
    pub(super) fn web_address(&self) -> String {
        match (&self.config.advertised_web, &self.request.host) {
            (Some(address), _) => address.clone(),
            (None, Some(host)) if host.contains(':') => host.clone(),
            (None, Some(host)) => format!("{host}:80"),
            (None, None) => "localhost:8080".to_owned(),
        }
    }

    /// `pulsar://host:port` as the client can reach it.
    pub(super) fn binary_url(&self) -> String {
        match &self.config.advertised_binary {
            Some(url) => url.clone(),
            None => {
                let web = self.web_address();
                let host = web.rsplit_once(':').map_or(web.as_str(), |(host, _)| host);
                format!("pulsar://{host}:{}", self.config.binary_port)
            }
        }
    }
}

pub(super) fn first_refusal(answers: &[AdminAnswer], but: Option<u16>) -> Flow<()> {
    for answer in answers {
        if let AdminAnswer::Refused(refused) = answer
            && Some(refused.status) != but
        {
            return Err(refused.clone().into());
        }
    }
    Ok(())
}

/// The names that several hosts brought, sorted.
pub(super) fn sorted_names(answers: &[AdminAnswer]) -> Vec<&str> {
    let lists = answers.iter().filter_map(|answer| match answer {
        AdminAnswer::Names(names) => Some(names),
        _ => None,
    });
    let mut names: Vec<&str> = lists.flatten().map(String::as_str).collect();
    names.sort_unstable();
    names
}
