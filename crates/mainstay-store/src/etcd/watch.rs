//! Watches: many on one stream, each a place in what the store remembers.
//!
//! One desk serves one stream and is driven by whoever reads its answers: a client that does not read holds back its
//! own stream, and what waits for it is in the store and not in a queue here.
//!
//! - A watch begins with what comes after the header of its `created`, so that nothing falls between the two.
//! - A progress notification of revision R comes after every event up to R of all watches that it speaks for.
//! - Events of one revision are never told apart, unless the client takes fragments.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{self, SelectAll};
use futures_util::{Stream, StreamExt as _};
use mainstay_mvcc::{Event, Revision, Span, Watch};
use prost::Message as _;
use prost::bytes::Bytes;
use tokio::sync::{oneshot, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::answer;
use super::face::{Face, wants_leader};
use super::refusal::{self, status};
use super::wire::etcdserverpb as pb;
use crate::watch::{Seen, Watcher};
use pb::watch_create_request::FilterType;
use pb::watch_request::RequestUnion;

/// The watch that an answer is for when it is for none, or for all.
const NO_WATCH: i64 = -1;

/// How many watches one stream may have. Each costs a place in the store and a little here.
const MOST: usize = 65_536;

/// How often a stream whose client wants a leader looks whether there is one, and how often it must have seen none.
const LEADER_LOOKS: u32 = 3;

/// What a watch brings to its desk.
#[derive(Debug)]
enum Came {
    /// Events, and up to which revision everything has been brought, if nothing waits behind them.
    Seen(Seen, Option<Revision>),
    /// The desk asked how far the watch is.
    Far(Option<Revision>),
}

/// A watch of one desk: its id, and its turn, for an id may be used again.
type Place = (i64, u64);

/// What a desk knows of a watch.
#[derive(Debug)]
struct Entry {
    turn: u64,
    fragment: bool,
    /// It wants to hear how far it is when nothing happens.
    quiet: Option<Quiet>,
    /// Dropping it ends the watch.
    _end: oneshot::Sender<()>,
}

/// How long nothing has come, in looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quiet {
    /// Something has come since the last look.
    Not,
    /// Nothing has come since the last look.
    One,
    /// Nothing had come at the last look, and it has not been told yet how far it is.
    Due,
}

/// A progress notification that a client asked for and that cannot be given yet.
#[derive(Debug)]
struct Asked {
    behind: HashSet<Place>,
    revision: Revision,
}

type Brought = Pin<Box<dyn Stream<Item = (Place, Came)> + Send>>;

struct Desk {
    face: Face,
    requests: Option<Streaming<pb::WatchRequest>>,
    entries: HashMap<i64, Entry>,
    brought: SelectAll<Brought>,
    /// Seen by every watch: whoever sees it change tells how far it is.
    look: watch::Sender<()>,
    turns: u64,
    next_id: i64,
    asked: Option<Asked>,
    ready: VecDeque<pb::WatchResponse>,
    notify: Interval,
    leader: Option<(Interval, u32)>,
}

/// What the desk woke for.
enum Woke {
    Request(Option<Result<pb::WatchRequest, Status>>),
    Brought(Place, Came),
    Notify,
    Leader,
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    ticks
}

async fn tick(ticks: Option<&mut (Interval, u32)>) {
    match ticks {
        Some((ticks, _)) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}

async fn request(from: Option<&mut Streaming<pb::WatchRequest>>) -> Option<Result<pb::WatchRequest, Status>> {
    match from {
        Some(requests) => requests.next().await,
        None => std::future::pending().await,
    }
}

/// All that a watch brings, until it is compacted or ended.
fn attend(place: Place, watcher: Watcher, look: watch::Receiver<()>, end: oneshot::Receiver<()>) -> Brought {
    let brought = stream::unfold(Some((watcher, look)), move |state| async move {
        let (mut watcher, mut look) = state?;
        let came = tokio::select! {
            biased;
            seen = watcher.next() => {
                let synced = watcher.synced();
                Came::Seen(seen, synced)
            }
            _ = look.changed() => Came::Far(watcher.synced()),
        };
        let over = matches!(came, Came::Seen(Seen::Compacted(_), _));
        Some(((place, came), (!over).then_some((watcher, look))))
    });
    Box::pin(brought.take_until(end))
}

/// What etcd calls an empty range: an end that is not after the beginning.
fn means_nothing(key: &Bytes, end: &Bytes) -> bool {
    !end.is_empty() && &end[..] != b"\0" && end <= key
}

impl Desk {
    fn new(face: Face, requests: Streaming<pb::WatchRequest>, wants_leader: bool) -> Self {
        let notify = ticks(face.settings.progress);
        let leader = wants_leader.then(|| (ticks(face.settings.election), 0));
        Self {
            face,
            requests: Some(requests),
            entries: HashMap::new(),
            brought: SelectAll::new(),
            look: watch::Sender::new(()),
            turns: 0,
            next_id: 0,
            asked: None,
            ready: VecDeque::new(),
            notify,
            leader,
        }
    }

    /// The next answer; the stream ends after an error.
    async fn next(&mut self) -> Option<Result<pb::WatchResponse, Status>> {
        loop {
            if let Some(response) = self.ready.pop_front() {
                return Some(Ok(response));
            }
            let woke = tokio::select! {
                biased;
                request = request(self.requests.as_mut()) => Woke::Request(request),
                Some((place, came)) = self.brought.next(), if !self.brought.is_empty() => Woke::Brought(place, came),
                _ = self.notify.tick() => Woke::Notify,
                () = tick(self.leader.as_mut()) => Woke::Leader,
            };
            match woke {
                Woke::Request(Some(Ok(request))) => self.take(request),
                Woke::Request(Some(Err(status))) => return Some(Err(status)),
                Woke::Request(None) => self.requests = None,
                Woke::Brought(place, came) => self.came(place, came),
                Woke::Notify => self.look_at_quiet(),
                Woke::Leader => self.look_for_leader()?,
            }
        }
    }

    fn take(&mut self, request: pb::WatchRequest) {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => self.create(create),
            Some(RequestUnion::CancelRequest(cancel)) => self.cancel(cancel.watch_id),
            Some(RequestUnion::ProgressRequest(_)) => self.ask(),
            None => {}
        }
    }

    fn response(&self, revision: Revision, watch_id: i64) -> pb::WatchResponse {
        let header = answer::header_at(self.face.engine.header(), revision);
        pb::WatchResponse { header, watch_id, ..pb::WatchResponse::default() }
    }

    /// Opens a watch, or says at once why not.
    fn create(&mut self, create: pb::WatchCreateRequest) {
        let revision = self.face.engine.header().revision;
        match self.open(create, revision) {
            Ok(id) => self.ready.push_back(pb::WatchResponse { created: true, ..self.response(revision, id) }),
            Err(why) => self.ready.push_back(pb::WatchResponse {
                created: true,
                canceled: true,
                cancel_reason: why.to_owned(),
                ..self.response(revision, NO_WATCH)
            }),
        }
    }

    fn open(&mut self, create: pb::WatchCreateRequest, revision: Revision) -> Result<i64, &'static str> {
        let key = if create.key.is_empty() { Bytes::from_static(b"\0") } else { create.key };
        if means_nothing(&key, &create.range_end) {
            return Err("mvcc: watcher range is empty");
        }
        if self.entries.len() >= MOST {
            return Err("mainstay: too many watches on one stream");
        }
        let id = self.id(create.watch_id)?;
        let leaves_out = |filter: FilterType| create.filters.contains(&filter.into());
        let watcher = self.face.engine.watch(Watch {
            span: Span::of(key, create.range_end),
            from: if create.start_revision > 0 { create.start_revision } else { revision + 1 },
            puts: !leaves_out(FilterType::Noput),
            deletes: !leaves_out(FilterType::Nodelete),
            previous: create.prev_kv,
        });
        let (end, ended) = oneshot::channel();
        self.turns += 1;
        let place = (id, self.turns);
        self.brought.push(attend(place, watcher, self.look.subscribe(), ended));
        let quiet = create.progress_notify.then_some(Quiet::One);
        self.entries.insert(id, Entry { turn: self.turns, fragment: create.fragment, quiet, _end: end });
        if let Some(asked) = &mut self.asked {
            asked.behind.insert(place);
            self.look.send_replace(());
        }
        Ok(id)
    }

    /// The id that the client chose, or the next that is free.
    fn id(&mut self, chosen: i64) -> Result<i64, &'static str> {
        if chosen != 0 {
            let taken = self.entries.contains_key(&chosen);
            return if taken { Err("mvcc: duplicate watch ID provided on the WatchStream") } else { Ok(chosen) };
        }
        while self.entries.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        Ok(self.next_id - 1)
    }

    fn cancel(&mut self, id: i64) {
        if let Some(entry) = self.entries.remove(&id) {
            let revision = self.face.engine.header().revision;
            self.ready.push_back(pb::WatchResponse { canceled: true, ..self.response(revision, id) });
            self.is_far((id, entry.turn), Some(Revision::MAX));
        }
    }

    /// The client wants to know how far all of its watches are.
    fn ask(&mut self) {
        let behind = self.entries.iter().map(|(id, entry)| (*id, entry.turn)).collect();
        self.asked = Some(Asked { behind, revision: self.face.engine.header().revision });
        self.look.send_replace(());
        self.answer_ask();
    }

    /// A watch is this far: whoever asked for all of them is answered with the last.
    fn is_far(&mut self, place: Place, synced: Option<Revision>) {
        let Some(synced) = synced else { return };
        if let Some(asked) = &mut self.asked
            && asked.behind.remove(&place)
        {
            asked.revision = asked.revision.min(synced);
        }
        self.answer_ask();
    }

    fn answer_ask(&mut self) {
        if let Some(asked) = self.asked.take_if(|asked| asked.behind.is_empty()) {
            self.ready.push_back(self.response(asked.revision, NO_WATCH));
        }
    }

    fn came(&mut self, place: Place, came: Came) {
        let Some(entry) = self.entries.get_mut(&place.0).filter(|entry| entry.turn == place.1) else { return };
        match came {
            Came::Seen(Seen::Events(events), synced) => {
                entry.quiet = entry.quiet.map(|_| Quiet::Not);
                let fragment = entry.fragment;
                self.bring(place.0, fragment, events);
                self.is_far(place, synced);
            }
            Came::Seen(Seen::Compacted(compact_revision), _) => {
                self.entries.remove(&place.0);
                let response = self.response(0, place.0);
                self.ready.push_back(pb::WatchResponse { canceled: true, compact_revision, ..response });
                self.is_far(place, Some(Revision::MAX));
            }
            Came::Far(synced) => {
                if let Some(revision) = synced
                    && entry.quiet == Some(Quiet::Due)
                {
                    entry.quiet = Some(Quiet::One);
                    self.ready.push_back(self.response(revision, place.0));
                }
                self.is_far(place, synced);
            }
        }
    }

    fn bring(&mut self, id: i64, fragment: bool, events: Vec<Event>) {
        let revision = self.face.engine.header().revision;
        let whole = pb::WatchResponse {
            events: events.into_iter().map(answer::event).collect(),
            ..self.response(revision, id)
        };
        if fragment {
            self.ready.extend(fragments(whole, self.face.settings.max_request));
        } else {
            self.ready.push_back(whole);
        }
    }

    /// Those for whom nothing came since the last look hear how far they are.
    fn look_at_quiet(&mut self) {
        let mut due = false;
        for quiet in self.entries.values_mut().filter_map(|entry| entry.quiet.as_mut()) {
            *quiet = if *quiet == Quiet::Not { Quiet::One } else { Quiet::Due };
            due |= *quiet == Quiet::Due;
        }
        if due {
            self.look.send_replace(());
        }
    }

    /// Ends the stream with an error when nobody has led for a while.
    fn look_for_leader(&mut self) -> Option<()> {
        let nobody = self.face.engine.status().leader == 0;
        let (_, looks) = self.leader.as_mut()?;
        *looks = if nobody { *looks + 1 } else { 0 };
        (*looks < LEADER_LOOKS).then_some(())
    }
}

/// The answer in pieces that are no larger than a request may be, each of one event at least.
fn fragments(whole: pb::WatchResponse, most: usize) -> Vec<pb::WatchResponse> {
    let empty = pb::WatchResponse { events: Vec::new(), ..whole.clone() };
    let mut pieces = vec![empty.clone()];
    let (base, mut size) = (empty.encoded_len(), empty.encoded_len());
    for event in whole.events {
        let length = event.encoded_len() + 8;
        if size + length > most && pieces.last().is_some_and(|piece| !piece.events.is_empty()) {
            if let Some(piece) = pieces.last_mut() {
                piece.fragment = true;
            }
            pieces.push(empty.clone());
            size = base;
        }
        if let Some(piece) = pieces.last_mut() {
            piece.events.push(event);
        }
        size += length;
    }
    pieces
}

#[async_trait]
impl pb::watch_server::Watch for Face {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<pb::WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<Streaming<pb::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.led(&request)?;
        let wants_leader = wants_leader(&request);
        let desk = Desk::new(self.clone(), request.into_inner(), wants_leader);
        let answers = stream::unfold(Some(desk), async |desk| {
            let mut desk = desk?;
            match desk.next().await {
                Some(Ok(response)) => Some((Ok(response), Some(desk))),
                Some(Err(why)) => Some((Err(why), None)),
                None => Some((Err(status(refusal::NO_LEADER)), None)),
            }
        });
        Ok(Response::new(Box::pin(answers.take_until(self.stopped()))))
    }
}
