//! The administration of the embedded broker: REST requests in (broker 6), questions to hosts, writes to the meta store and
//! answers out. A value like the sessions: [`Admin::on_request`], [`Admin::on_answer`], [`Admin::on_written`] and
//! [`Admin::on_timer`] take events, [`Admin::poll`] gives what is to be done.
//!
//! A handler is a plain function from what is known to an answer. Where it needs a host or the meta store it says what it wants and
//! ends; when that is there it runs again from its beginning, and finds it. So an operation over many topics reads as a list of
//! steps, and holds nothing but what its steps brought (see `cx`).
//!
//! | file | holds |
//! |---|---|
//! | `web`, `path` | requests and answers as values; paths and queries |
//! | `cx` | what a handler sees, and how it asks |
//! | `route` | method and path to handler |
//! | `clusters`, `tenants`, `namespaces`, `policies` | 6.1 to 6.3 |
//! | `topics`, `partitioned`, `subscriptions`, `messages`, `topic_policies` | 6.4 |
//! | `lookup`, `brokers`, `schemas` | 6.5, 6.6 |
//! | `stats`, `internal` | 6.7 |

mod brokers;
mod clusters;
mod cx;
mod internal;
mod lookup;
mod messages;
mod namespaces;
mod partitioned;
mod path;
mod policies;
mod prometheus;
mod route;
mod schemas;
mod stats;
mod subscriptions;
mod tenants;
mod topic_policies;
mod topics;
mod web;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use crate::base::limit;
use crate::base::time::{Clock, Instant};
use crate::broker::admin::{AdminAnswer, AdminAsk};
use crate::broker::catalogue::{Catalogue, Change, Effective, Expect};
use crate::shard::ConnKey;
use crate::shard::meta::{self, MetaChange, MetaRefusal};
use crate::store::StoreId;

use cx::{Cx, Step, Stop, Wants};
pub use web::{AdminRequest, METRICS_TYPE, WebAnswer};

/// What the administration knows of the broker beside the catalogue.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Name of the cluster (`clusterName`).
    pub cluster: String,
    /// Stores of the data folder.
    pub stores: u16,
    /// Port of the binary protocol, for look-ups; the host is the one that the client dialled.
    pub binary_port: u16,
    /// `pulsar://host:port` for look-ups, instead (`advertisedAddress`).
    pub advertised_binary: Option<String>,
    /// `host:port` of the web service, instead of the one that the client dialled (`advertisedAddress`).
    pub advertised_web: Option<String>,
    /// The broker's own word where no policy says otherwise.
    pub defaults: Effective,
    /// Partitions of a topic (`maxNumPartitionsPerPartitionedTopic`); 0: what the broker bears.
    pub partitions_max: u32,
    /// Tenants (`maxTenants`); 0: any number.
    pub tenants_max: usize,
    /// `forceDeleteTenantAllowed`.
    pub force_delete_tenant: bool,
    /// `forceDeleteNamespaceAllowed`.
    pub force_delete_namespace: bool,
    /// Settings in force, for `brokers/configuration/runtime`; secrets are masked already.
    pub runtime: Vec<(String, String)>,
}

impl AdminConfig {
    /// That of a broker with nothing set but what it cannot do without.
    pub fn new(cluster: &str, stores: u16, binary_port: u16) -> AdminConfig {
        AdminConfig {
            cluster: cluster.to_owned(),
            stores,
            binary_port,
            advertised_binary: None,
            advertised_web: None,
            defaults: Effective::default(),
            partitions_max: 0,
            tenants_max: 0,
            force_delete_tenant: false,
            force_delete_namespace: false,
            runtime: Vec::new(),
        }
    }
}

/// Something to be done.
#[derive(Debug)]
pub enum Effect {
    /// Ask the host of a store; its answer comes by [`Admin::on_answer`].
    Ask {
        /// Comes back with the answer.
        ticket: u64,
        /// Which.
        store: StoreId,
        /// What.
        ask: AdminAsk,
    },
    /// Write to the meta store; the outcome comes by [`Admin::on_written`].
    Write {
        /// Comes back with the outcome.
        ticket: u64,
        /// All or nothing.
        changes: Vec<MetaChange>,
    },
    /// Answer a request.
    Answer {
        /// Who asked.
        client: ConnKey,
        /// With this.
        answer: WebAnswer,
    },
}

/// A request under way.
struct Job {
    request: AdminRequest,
    handler: route::Handler,
    done: Vec<Step>,
    /// Questions not asked yet, with the place of their answers.
    queue: VecDeque<(usize, StoreId, AdminAsk)>,
    answers: Vec<Option<AdminAnswer>>,
    missing: usize,
    /// Times that a write met somebody else's.
    conflicts: u32,
    until: Instant,
}

/// The administration on one core.
pub struct Admin {
    config: AdminConfig,
    jobs: BTreeMap<u64, Job>,
    /// Which job a ticket is of, and which of its answers it brings.
    tickets: BTreeMap<u64, (u64, usize)>,
    next: u64,
    out: VecDeque<Effect>,
}

impl Admin {
    /// The administration of a core.
    pub fn new(config: AdminConfig) -> Admin {
        Admin { config, jobs: BTreeMap::new(), tickets: BTreeMap::new(), next: 0, out: VecDeque::new() }
    }

    /// What it knows.
    pub fn config(&self) -> &AdminConfig {
        &self.config
    }

    /// A whole request.
    pub fn on_request(&mut self, clock: Clock, catalogue: &Catalogue, request: AdminRequest) {
        let client = request.client;
        let handler = match route::find(&request.method, &request.path) {
            Ok(handler) => handler,
            Err(answer) => return self.out.push_back(Effect::Answer { client, answer }),
        };
        if self.jobs.len() >= limit::ADMIN_JOBS_MAX {
            let answer = WebAnswer::reason(503, "too many requests at once, try again");
            return self.out.push_back(Effect::Answer { client, answer });
        }
        self.next += 1;
        let until = clock.now + limit::ADMIN_TIME_MAX;
        let (done, queue, answers) = (Vec::new(), VecDeque::new(), Vec::new());
        let job = Job { request, handler, done, queue, answers, missing: 0, conflicts: 0, until };
        self.jobs.insert(self.next, job);
        self.run(clock, catalogue, self.next);
    }

    /// A host's answer.
    pub fn on_answer(&mut self, clock: Clock, catalogue: &Catalogue, ticket: u64, answer: AdminAnswer) {
        let Some((id, index)) = self.tickets.remove(&ticket) else { return };
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(slot) = job.answers.get_mut(index).filter(|slot| slot.is_none()) else { return };
        *slot = Some(answer);
        job.missing -= 1;
        if job.missing > 0 {
            return self.ask_more(id, 1);
        }
        let answers = std::mem::take(&mut job.answers).into_iter().flatten().collect();
        job.done.push(Step::Answers(answers));
        self.run(clock, catalogue, id);
    }

    /// A write to the meta store ended. What it changed is in `catalogue` already.
    pub fn on_written(
        &mut self,
        clock: Clock,
        catalogue: &Catalogue,
        ticket: u64,
        result: Result<(), MetaRefusal>,
    ) {
        let Some((id, _)) = self.tickets.remove(&ticket) else { return };
        let Some(job) = self.jobs.get_mut(&id) else { return };
        match result {
            Ok(()) => job.done.push(Step::Done),
            // Somebody else was faster: the plan is made anew from what there is now.
            Err(MetaRefusal::Conflict { .. }) if job.conflicts < limit::ADMIN_CONFLICTS_MAX => {
                job.conflicts += 1
            }
            Err(MetaRefusal::Conflict { key }) => {
                let reason = format!("Concurrent modification of {key}, try again");
                return self.finish(id, WebAnswer::reason(409, &reason));
            }
            Err(MetaRefusal::Failed(why)) => return self.finish(id, WebAnswer::reason(500, &why)),
        }
        self.run(clock, catalogue, id);
    }

    /// Time passed: requests that waited too long are answered.
    pub fn on_timer(&mut self, clock: Clock) {
        let late: Vec<u64> =
            self.jobs.iter().filter(|(_, job)| job.until <= clock.now).map(|(id, _)| *id).collect();
        for id in late {
            self.finish(
                id,
                WebAnswer::reason(504, "the broker did not answer in time; it may still do what was asked"),
            );
        }
    }

    /// When [`Admin::on_timer`] is due.
    pub fn next_time(&self) -> Option<Instant> {
        self.jobs.values().map(|job| job.until).min()
    }

    /// The next thing to be done.
    pub fn poll(&mut self) -> Option<Effect> {
        self.out.pop_front()
    }

    /// Runs a handler as far as it gets.
    fn run(&mut self, clock: Clock, catalogue: &Catalogue, id: u64) {
        loop {
            let Some(job) = self.jobs.get_mut(&id) else { return };
            let mut cx = Cx::new(catalogue, &self.config, &job.request, clock, &job.done);
            let stop = match (job.handler)(&mut cx) {
                Ok(answer) | Err(Stop::Answer(answer)) => return self.finish(id, answer),
                Err(Stop::Wait(wants)) => wants,
            };
            match stop {
                Wants::Note(step) => job.done.push(step),
                Wants::Deadline(time) => {
                    job.until = job.until.min(clock.now + time);
                    job.done.push(Step::Done);
                }
                Wants::Asks(asks) => {
                    job.missing = asks.len();
                    job.answers = asks.iter().map(|_| None).collect();
                    let indexed = asks.into_iter().enumerate();
                    job.queue = indexed.map(|(index, (store, ask))| (index, store, ask)).collect();
                    return self.ask_more(id, limit::ADMIN_ASKS_MAX);
                }
                Wants::Write(plan) => {
                    self.next += 1;
                    self.tickets.insert(self.next, (id, 0));
                    let changes = plan.into_iter().map(meta_change).collect();
                    return self.out.push_back(Effect::Write { ticket: self.next, changes });
                }
            }
        }
    }

    fn ask_more(&mut self, id: u64, most: usize) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        for _ in 0..most {
            let Some((index, store, ask)) = job.queue.pop_front() else { return };
            self.next += 1;
            self.tickets.insert(self.next, (id, index));
            self.out.push_back(Effect::Ask { ticket: self.next, store, ask });
        }
    }

    /// Answers that are under way to a finished job find no ticket.
    fn finish(&mut self, id: u64, answer: WebAnswer) {
        if let Some(job) = self.jobs.remove(&id) {
            self.tickets.retain(|_, (of, _)| *of != id);
            self.out.push_back(Effect::Answer { client: job.request.client, answer });
        }
    }
}

/// A change as the meta store takes it.
pub fn meta_change(change: Change) -> MetaChange {
    let expect = match change.expect {
        Expect::Any => meta::Expect::Any,
        Expect::Absent => meta::Expect::Absent,
        Expect::Version(version) => meta::Expect::Version(version),
    };
    MetaChange { key: change.key, expect, value: change.value }
}
