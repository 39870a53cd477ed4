//! Requests and replies between cores. Each core sends another at most [`limit::CROSS_CORE_BYTES_MAX`] of requests that were not yet
//! taken over; beyond, the clients that send there are not read from. Replies are bounded by what their connections may have
//! outstanding; when a core does not fetch its mail, no host of ours is driven until it does.

use super::Embedded;
use crate::base::limit;
use crate::broker::admin::{AdminAnswer, AdminAsk};
use crate::broker::host::{Asked, Reply, Request, Told};
use crate::shard::{ConnKey, Links, Mail, ShardId};
use crate::store::StoreId;
use std::collections::VecDeque;

/// What a request or reply counts for beside its entry, bytes: about its own size.
const REQUEST_BYTES: usize = 512;
/// Credit is given back alone when nothing goes there anyway and this much is owed.
const CREDIT_ALONE: usize = limit::CROSS_CORE_BYTES_MAX / 16;

/// Another core.
#[derive(Default)]
struct Peer {
    requests: Vec<Request>,
    /// Bytes of requests there that it did not give credit for yet, those in `requests` included.
    under_way: usize,
    replies: Vec<Reply>,
    reply_bytes: usize,
    /// Bytes of its requests that were taken over since it was told.
    credit: usize,
    /// Questions and answers of administrators.
    admin: VecDeque<Mail>,
    /// Clients that are not read from until credit comes.
    held: Vec<ConnKey>,
}

/// All cores, this one included and unused.
pub(super) struct Peers(Vec<Peer>);

fn request_bytes(request: &Request) -> usize {
    match &request.what {
        Asked::Command { entry, .. } => REQUEST_BYTES + entry.len(),
        _ => REQUEST_BYTES,
    }
}

fn reply_bytes(reply: &Reply) -> usize {
    match &reply.what {
        Told::Deliver { entry, .. } => REQUEST_BYTES + entry.len(),
        _ => REQUEST_BYTES,
    }
}

impl Peers {
    pub(super) fn new(shards: usize) -> Peers {
        Peers((0..shards.max(1)).map(|_| Peer::default()).collect())
    }

    /// How many cores there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn core_of(&self, store: StoreId) -> ShardId {
        ShardId((usize::from(store.0) % self.len()) as u16)
    }

    fn peer(&mut self, core: ShardId) -> &mut Peer {
        &mut self.0[usize::from(core.0)]
    }

    pub(super) fn request(&mut self, core: ShardId, request: Request) {
        let peer = self.peer(core);
        peer.under_way += request_bytes(&request);
        peer.requests.push(request);
    }

    pub(super) fn reply(&mut self, core: ShardId, reply: Reply) {
        let peer = self.peer(core);
        peer.reply_bytes += reply_bytes(&reply);
        peer.replies.push(reply);
    }

    pub(super) fn ask(&mut self, core: ShardId, ticket: u64, store: StoreId, ask: AdminAsk) {
        self.peer(core).admin.push_back(Mail::Ask { ticket, store, ask: Box::new(ask) });
    }

    pub(super) fn answer(&mut self, core: ShardId, ticket: u64, answer: AdminAnswer) {
        self.peer(core).admin.push_back(Mail::Answered { ticket, answer: Box::new(answer) });
    }

    /// Every core fetches its mail: hosts may say something.
    pub(super) fn may_reply(&self) -> bool {
        self.0.iter().all(|peer| peer.reply_bytes <= limit::CROSS_CORE_REPLIES_MAX)
    }

    /// The core of this store has more than it takes over: whoever sends there is to wait.
    pub(super) fn is_full(&self, store: StoreId) -> bool {
        self.0[usize::from(self.core_of(store).0)].under_way > limit::CROSS_CORE_BYTES_MAX
    }

    /// This client waits for credit of the store's core, or for a host here that is behind.
    pub(super) fn hold(&mut self, store: StoreId, client: ConnKey) {
        let core = self.core_of(store);
        self.peer(core).held.push(client);
    }

    /// Something waits for room in a mailbox.
    fn is_waiting(&self) -> bool {
        let waits =
            |peer: &Peer| !peer.requests.is_empty() || !peer.replies.is_empty() || !peer.admin.is_empty();
        self.0.iter().any(waits)
    }
}

impl Embedded {
    /// Whoever publishes to this store is to wait: its host is behind with its disk, or its core takes nothing over.
    pub(super) fn is_clogged(&mut self, store: StoreId) -> bool {
        match self.core_of(store) == self.shard {
            true => self.hosted(store).is_some_and(|hosted| hosted.host.is_behind()),
            false => self.peers.is_full(store),
        }
    }

    fn is_behind(&self) -> bool {
        self.hosts.iter().any(|hosted| hosted.host.is_behind())
    }

    /// Clients that waited for a host here go on once none is behind.
    pub(super) fn release_here(&mut self, io: &mut Links) {
        let here = self.shard;
        if !self.peers.peer(here).held.is_empty() && !self.is_behind() {
            for client in std::mem::take(&mut self.peers.peer(here).held) {
                self.release_client(io, client);
            }
        }
    }

    /// Requests of another core's connections.
    pub(super) fn on_requests(&mut self, io: &mut Links, from: ShardId, requests: Vec<Request>) {
        let bytes: usize = requests.iter().map(request_bytes).sum();
        if from != self.shard {
            self.peers.peer(from).credit += bytes;
        }
        for request in requests {
            self.request_here(io, request);
        }
    }

    /// Another core took requests over.
    pub(super) fn on_credit(&mut self, io: &mut Links, from: ShardId, credit: usize) {
        let peer = self.peers.peer(from);
        debug_assert!(peer.under_way >= credit, "credit for what was never sent");
        peer.under_way = peer.under_way.saturating_sub(credit);
        if peer.under_way <= limit::CROSS_CORE_BYTES_MAX / 2 && !peer.held.is_empty() {
            for client in std::mem::take(&mut peer.held) {
                self.release_client(io, client);
            }
        }
    }

    /// Hands the mail of this turn over. What finds a full mailbox goes with the next turn's.
    pub(super) fn post(&mut self, io: &mut Links) {
        for index in 0..self.peers.len() {
            let core = ShardId(index as u16);
            if core != self.shard {
                self.post_to(io, core);
            }
        }
        if self.peers.is_waiting() {
            self.wake(io);
        }
    }

    fn post_to(&mut self, io: &mut Links, core: ShardId) {
        // While a host is behind, other cores get no credit: their clients wait as those here do.
        let is_behind = self.is_behind();
        let peer = self.peers.peer(core);
        if !peer.requests.is_empty()
            && let Err(Mail::Requests(requests)) =
                io.mail(core, Mail::Requests(std::mem::take(&mut peer.requests)))
        {
            peer.requests = requests;
        }
        if !peer.replies.is_empty() || (peer.credit >= CREDIT_ALONE && !is_behind) {
            let replies = std::mem::take(&mut peer.replies);
            let credit = if is_behind { 0 } else { std::mem::take(&mut peer.credit) };
            match io.mail(core, Mail::Replies { replies, credit }) {
                Ok(()) => peer.reply_bytes = 0,
                Err(Mail::Replies { replies, credit }) => {
                    peer.replies = replies;
                    peer.credit += credit;
                }
                Err(_) => debug_assert!(false, "a full mailbox gives back what it was given"),
            }
        }
        while let Some(mail) = peer.admin.pop_front() {
            if let Err(mail) = io.mail(core, mail) {
                peer.admin.push_front(mail);
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::host::ConnectionId;
    use crate::wire::pulsar::Command;
    use crate::wire::pulsar::proto::CommandSend;
    use bytes::Bytes;

    #[test]
    fn a_core_that_takes_nothing_over_is_sent_no_more_than_its_credit() {
        let mut peers = Peers::new(2);
        let (connection, store) = (ConnectionId(1), StoreId(1));
        let entry = Bytes::from(vec![0; 1 << 20]);
        let mut sent = 0;
        while !peers.is_full(store) {
            let command = Command::Send(CommandSend::default());
            let what = Asked::Command { command, entry: entry.clone() };
            peers.request(peers.core_of(store), Request { connection, store, what });
            sent += 1;
        }
        assert_eq!(sent, limit::CROSS_CORE_BYTES_MAX >> 20, "the last one may go over");
        assert!(!peers.is_full(StoreId(0)), "this core has no credit to wait for");
    }
}
