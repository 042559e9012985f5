//! Heads: what the parsers take is held against a second reading that knows nothing but lines and colons.

use mainstay_http1::{
    BodyKind, FieldsView, Known, Limits, Received, Reject, RequestHead, RequestParser, ResponseHead, ResponseParser,
    TargetForm, Version,
};

use crate::bytes::{Arriving, split_first};

/// Small enough to be reached.
const LIMITS: Limits = Limits { head: 1024, headers: 16 };

/// A request's head means the same in any pieces, and what is taken has no second reading.
pub(crate) fn request(bytes: &[u8]) {
    let (cuts, bytes) = split_first(bytes);
    let parse = |cuts| {
        let (mut parser, mut head) = (RequestParser::new(LIMITS), RequestHead::default());
        let outcome = in_pieces(bytes, cuts, |piece| parser.parse(piece, &mut head));
        (outcome, head)
    };
    let (outcome, head) = parse(0);
    let (again, head_again) = parse(cuts.max(1));
    assert_eq!(outcome, again, "the pieces change the outcome");
    let Ok(Some(Received { consumed, event: facts })) = outcome else { return };
    assert_eq!(head, head_again, "the pieces change the head");
    let text = &bytes[..consumed];
    let view = head.view(text);
    let lines = lines(text.strip_prefix(b"\r\n\r\n").or(text.strip_prefix(b"\r\n")).unwrap_or(text));
    assert_eq!(lines[0].split(|byte| *byte == b' ').count(), 3, "three words and two spaces");
    assert_eq!(lines[0].split(|byte| *byte == b' ').next(), Some(view.method()));
    assert_eq!(lines[0].split(|byte| *byte == b' ').nth(1), Some(view.target()));
    same_fields(view.fields(), &lines[1..]);
    let count = |known| view.fields().get_all(known).count();
    assert!(count(Known::Host) <= 1 && (count(Known::Host) == 1 || view.version() == Version::Http10));
    assert!(count(Known::ContentLength) + count(Known::TransferEncoding) <= 1, "one framing at most");
    let framed = count(Known::ContentLength) + count(Known::TransferEncoding) == 1;
    assert_eq!(facts.body != BodyKind::None, framed, "a body exactly where one is announced");
    match view.form() {
        TargetForm::Authority => assert_eq!(view.method(), b"CONNECT"),
        TargetForm::Asterisk => assert_eq!(view.path(), b"*"),
        TargetForm::Origin | TargetForm::Absolute => assert!(matches!(view.path()[0], b'/' | b'*')),
    }
    assert!(!view.path().contains(&b'?') && !view.target().contains(&b'#'));
}

/// A response's head means the same in any pieces, and what is taken has no second reading.
pub(crate) fn response(bytes: &[u8]) {
    let (cuts, bytes) = split_first(bytes);
    let to_head = cuts & 1 == 1;
    let parse = |cuts| {
        let (mut parser, mut head) = (ResponseParser::new(LIMITS), ResponseHead::default());
        let outcome = in_pieces(bytes, cuts, |piece| parser.parse(piece, to_head, &mut head));
        (outcome, head)
    };
    let (outcome, head) = parse(0);
    let (again, head_again) = parse(cuts.max(1));
    assert_eq!(outcome, again, "the pieces change the outcome");
    let Ok(Some(Received { consumed, event: facts })) = outcome else { return };
    assert_eq!(head, head_again, "the pieces change the head");
    let text = &bytes[..consumed];
    let view = head.view(text);
    let lines = lines(text);
    assert!(lines[0].starts_with(b"HTTP/1."));
    assert_eq!(&lines[0][9..12], view.status().to_string().as_bytes());
    same_fields(view.fields(), &lines[1..]);
    let bodiless = to_head || view.status() < 200 || view.status() == 204 || view.status() == 304;
    assert!(!bodiless || facts.body == BodyKind::None, "no body where none can be");
    assert!(facts.body != BodyKind::UntilClose || !facts.keep_alive, "what ends with the connection ends it");
}

type Parsed<F> = Result<Option<Received<F>>, Reject>;

/// Hands in what has come, and more each time, until it is told what it is or nothing more comes.
fn in_pieces<F>(bytes: &[u8], cuts: u8, mut parse: impl FnMut(&[u8]) -> Parsed<F>) -> Parsed<F> {
    let mut arriving = Arriving::new(bytes, cuts);
    loop {
        let parsed = parse(arriving.unread());
        if !matches!(parsed, Ok(None)) || !arriving.more() {
            return parsed;
        }
    }
}

/// The lines of a head without the empty one that ends it. Nothing in them is a line's end to anybody.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    let text = text.strip_suffix(b"\r\n\r\n").expect("an empty line ends a head");
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines.push(rest);
    for line in &lines {
        let clean = line.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
        assert!(clean && !line.is_empty() && line[0] != b' ' && line[0] != b'\t', "a line that others could part");
    }
    lines
}

/// Every line is a field, and says to a reader that looks for the first colon what the parser took it to say.
fn same_fields(fields: FieldsView<'_>, lines: &[&[u8]]) {
    assert_eq!(fields.len(), lines.len());
    for (field, line) in fields.iter().zip(lines) {
        let colon = line.iter().position(|byte| *byte == b':').expect("a colon");
        assert_eq!(field.name, &line[..colon]);
        assert!(!field.name.is_empty() && !field.name.iter().any(|byte| b" \t,;=\"()/\\".contains(byte)));
        let value = line[colon + 1..].trim_ascii();
        assert_eq!(field.value, value);
        assert_eq!(field.known, Known::of(field.name));
    }
}
