//! Plays bytes against a machine and tells in one line what it made of them.
//!
//! A request reads `GET /path @host none keep`: method, target, authority, framing of the body, what becomes of the
//! connection; then `'data'`, `(name: value)` for trailers, `...` when more was expected, `! word` for a refusal after
//! the head and `+n` for bytes left over. A refused head is the word alone. A response begins with its status.

use std::fmt::Write as _;

use mainstay_http1::{
    BodyKind, BodyLength, ClientConnection, Field, FieldsView, InstanceEof, Limits, OutgoingRequest, RequestEvent,
    RequestFacts, RequestHead, RequestView, ResponseEvent, ResponseFacts, ResponseHead, ServerConnection,
};

/// How the driver cuts what it reads: the length of each piece in turn, the last one for all that follow.
pub(crate) type Cuts<'a> = &'a [usize];

/// Everything in one piece.
pub(crate) const WHOLE: Cuts<'static> = &[usize::MAX];

/// What the machine of a caller's connection makes of one request.
pub(crate) fn request(input: &[u8], limits: Limits, cuts: Cuts<'_>) -> String {
    let mut machine = ServerConnection::new(limits);
    let mut head = RequestHead::default();
    let mut story = Story::default();
    let mut reader = Reader::new(input, cuts);
    while story.open {
        let unread = reader.unread();
        let received = match machine.receive(unread, &mut head) {
            Ok(received) => received,
            Err(reject) => return story.refused(reject.as_str()),
        };
        assert!(received.consumed <= unread.len());
        match received.event {
            RequestEvent::NeedMore => story.open = reader.read_more(),
            RequestEvent::Request(facts) => story.line = describe_request(head.view(unread), facts),
            RequestEvent::Data(range) => story.data(unread, range, received.consumed),
            RequestEvent::End => story.end(unread, machine.trailers()),
        }
        reader.consume(received.consumed);
    }
    story.told(reader.left())
}

/// What the machine of a connection to an instance makes of the answer to `method`.
pub(crate) fn response(input: &[u8], method: &str, limits: Limits, cuts: Cuts<'_>) -> String {
    let mut machine = asked(method, limits);
    let mut head = ResponseHead::default();
    let mut story = Story::default();
    let mut reader = Reader::new(input, cuts);
    while story.open {
        let unread = reader.unread();
        let received = match machine.receive(unread, &mut head) {
            Ok(received) => received,
            Err(reject) => return story.refused(reject.as_str()),
        };
        assert!(received.consumed <= unread.len());
        match received.event {
            ResponseEvent::NeedMore => {
                story.open = reader.read_more();
                story.ended |= !story.open && machine.eof() == InstanceEof::EndOfBody;
            }
            ResponseEvent::Interim(status) => write!(story.line, "{status} > ").unwrap(),
            ResponseEvent::Response(facts) => story.line += &describe_response(head.status, facts),
            ResponseEvent::Data(range) => story.data(unread, range, received.consumed),
            ResponseEvent::End => story.end(unread, machine.trailers()),
        }
        reader.consume(received.consumed);
    }
    story.told(reader.left())
}

/// A connection on which a request without a body was written.
pub(crate) fn asked(method: &str, limits: Limits) -> ClientConnection {
    let mut machine = ClientConnection::new(limits);
    let mut out = Vec::new();
    let (method, upgrade) = method.strip_suffix("+upgrade").map_or((method, false), |method| (method, true));
    let request =
        OutgoingRequest { method: method.as_bytes(), target: b"/", host: b"a", body: BodyLength::Empty, upgrade };
    machine.start_request(request, &mut out).unwrap();
    machine.end_head(&mut out).unwrap();
    machine.finish([], &mut out).unwrap();
    machine
}

fn describe_request(view: RequestView<'_>, facts: RequestFacts) -> String {
    let mut line = format!("{} {}", text(view.method()), text(view.path_and_query()));
    line += &view.authority().map_or(String::new(), |authority| format!(" @{}", text(authority)));
    write!(line, " {} {}", describe_body(facts.body), if facts.keep_alive { "keep" } else { "close" }).unwrap();
    line += if facts.expect_continue { " continue" } else { "" };
    line += if facts.upgrade { " upgrade" } else { "" };
    line
}

fn describe_response(status: u16, facts: ResponseFacts) -> String {
    let keep = if facts.keep_alive { "keep" } else { "close" };
    format!("{status} {} {keep}{}", describe_body(facts.body), if facts.upgrade { " upgrade" } else { "" })
}

fn describe_body(body: BodyKind) -> String {
    match body {
        BodyKind::None => "none".into(),
        BodyKind::Length(length) => format!("length {length}"),
        BodyKind::Chunked => "chunked".into(),
        BodyKind::UntilClose => "until-close".into(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

struct Story {
    line: String,
    data: Vec<u8>,
    trailers: String,
    ended: bool,
    open: bool,
}

impl Default for Story {
    fn default() -> Self {
        Self { line: String::new(), data: Vec::new(), trailers: String::new(), ended: false, open: true }
    }
}

impl Story {
    fn data(&mut self, unread: &[u8], range: std::ops::Range<usize>, consumed: usize) {
        assert!(!range.is_empty() && range.end <= consumed);
        self.data.extend_from_slice(&unread[range]);
    }

    fn end(&mut self, unread: &[u8], trailers: &[Field]) {
        for field in FieldsView::new(unread, trailers).iter() {
            write!(self.trailers, " ({}: {})", text(field.name), text(field.value)).unwrap();
        }
        self.ended = true;
        self.open = false;
    }

    fn with_data(&self) -> String {
        let data = if self.data.is_empty() { String::new() } else { format!(" '{}'", text(&self.data)) };
        format!("{}{data}{}", self.line, self.trailers)
    }

    fn refused(&self, word: &str) -> String {
        if self.line.is_empty() { word.into() } else { format!("{} ! {word}", self.with_data()) }
    }

    fn told(&self, left: usize) -> String {
        let unfinished = if self.ended { "" } else { " ..." };
        let left = if left > 0 { format!(" +{left}") } else { String::new() };
        format!("{}{unfinished}{left}", self.with_data()).trim_start().to_owned()
    }
}

/// A connection's bytes as a driver with a growing buffer sees them.
struct Reader<'a> {
    input: &'a [u8],
    cuts: Cuts<'a>,
    begin: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    fn new(input: &'a [u8], cuts: Cuts<'a>) -> Self {
        let mut reader = Self { input, cuts, begin: 0, end: 0 };
        reader.read_more();
        reader
    }

    fn unread(&self) -> &'a [u8] {
        &self.input[self.begin..self.end]
    }

    fn consume(&mut self, consumed: usize) {
        self.begin += consumed;
    }

    fn read_more(&mut self) -> bool {
        let piece = match self.cuts {
            [last] => *last,
            [next, rest @ ..] => {
                self.cuts = rest;
                *next
            }
            [] => 1,
        };
        let before = self.end;
        self.end = self.end.saturating_add(piece.max(1)).min(self.input.len());
        self.end > before
    }

    fn left(&self) -> usize {
        self.input.len() - self.begin
    }
}
