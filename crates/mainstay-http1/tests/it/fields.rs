//! What a gateway reads from a head, and what it may send on.

use mainstay_http1::{Field, Known, Limits, RequestHead, RequestParser, RequestView, Span, TargetForm, Version};

/// Parses a head and hands its view to `look`.
fn check<T>(text: &str, look: impl FnOnce(RequestView<'_>) -> T) -> T {
    let mut head = RequestHead::default();
    let received = RequestParser::new(Limits::default()).parse(text.as_bytes(), &mut head).unwrap().unwrap();
    assert_eq!(received.consumed, text.len());
    look(head.view(text.as_bytes()))
}

#[test]
fn a_request_is_read_by_its_parts() {
    let text = "GET /a/b?c=d HTTP/1.1\r\nHost: shop.example\r\nCookie: a\r\nX-Beta:  1 \r\ncookie: b\r\n\r\n";
    check(text, |view| {
        assert_eq!(view.method(), b"GET");
        assert_eq!((view.path(), view.query()), (&b"/a/b"[..], Some(&b"c=d"[..])));
        assert_eq!(view.authority(), Some(&b"shop.example"[..]));
        assert_eq!(view.version(), Version::Http11);
        assert_eq!(view.get(Known::Cookie), Some(&b"a"[..]));
        assert_eq!(view.fields().get_all(Known::Cookie).collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(view.get_named("x-BETA"), Some(&b"1"[..]));
        assert_eq!(view.get_named("x-gamma"), None);
        assert_eq!(view.fields().len(), 4);
    });
}

#[test]
fn a_query_may_be_absent_or_empty() {
    assert_eq!(check("GET /a HTTP/1.0\r\n\r\n", |view| view.query().map(<[u8]>::to_vec)), None);
    assert_eq!(check("GET /a? HTTP/1.0\r\n\r\n", |view| view.query().map(<[u8]>::to_vec)), Some(vec![]));
    assert_eq!(check("GET /a?b?c HTTP/1.0\r\n\r\n", |view| view.query().map(<[u8]>::to_vec)), Some(b"b?c".to_vec()));
}

#[test]
fn an_absolute_target_is_asked_for_by_its_path() {
    check("GET http://a.example:81/b?c HTTP/1.0\r\n\r\n", |view| {
        assert_eq!(view.form(), TargetForm::Absolute);
        assert_eq!(view.target(), b"http://a.example:81/b?c");
        assert_eq!((view.path(), view.path_and_query()), (&b"/b"[..], &b"/b?c"[..]));
        assert_eq!(view.authority(), Some(&b"a.example:81"[..]));
    });
    check("GET http://a HTTP/1.0\r\n\r\n", |view| assert_eq!((view.path(), view.query()), (&b"/"[..], None)));
}

#[test]
fn a_view_needs_no_http1_wire() {
    let arena = b"GET:path/a?bcustom1a.example";
    let span = |start: usize, len: usize| Span::new(start..start + len);
    let head = RequestHead {
        method: span(0, 3),
        target: span(8, 4),
        path_and_query: span(8, 4),
        path: span(8, 2),
        authority: span(19, 9),
        version: Version::Http2,
        fields: [Field { name: span(12, 6), value: span(18, 1), known: Known::Other }].into_iter().collect(),
        ..RequestHead::default()
    };
    let view = head.view(arena);
    assert_eq!((view.method(), view.path(), view.query()), (&b"GET"[..], &b"/a"[..], Some(&b"b"[..])));
    assert_eq!((view.authority(), view.get_named("Custom")), (Some(&b"a.example"[..]), Some(&b"1"[..])));
}

#[test]
fn what_goes_on_is_written_in_one_form_however_it_came() {
    let text = "GET /a HTTP/1.0\r\nA: 1\r\nB: 2\r\nC:3\r\nD:  4\r\nE:\t5\r\nF: 6 \r\nG:\r\nH: \r\nI: 7\r\nJ: 8\r\n\r\n";
    let written = |left_out: &[&str]| {
        check(text, |view| {
            let mut out = b"first\r\n".to_vec();
            view.fields().write_those(&mut out, |line| !left_out.iter().any(|name| name.as_bytes() == line.name));
            String::from_utf8(out).unwrap()
        })
    };
    let lines = ["A: 1", "B: 2", "C: 3", "D: 4", "E: 5", "F: 6", "G: ", "H: ", "I: 7", "J: 8"];
    let without = |left_out: &[&str]| {
        let kept = lines.iter().filter(|line| !left_out.iter().any(|name| line.starts_with(name)));
        kept.fold("first\r\n".to_owned(), |all, line| all + line + "\r\n")
    };
    for left_out in [
        &[][..],
        &["A"],
        &["B"],
        &["A", "B"],
        &["C"],
        &["I"],
        &["J"],
        &["C", "D", "E", "F", "G"],
        &lines.map(|line| &line[..1]),
    ] {
        assert_eq!(written(left_out), without(left_out));
    }
}

#[test]
fn spans_stay_valid_when_the_bytes_are_kept_elsewhere() {
    let text = b"GET /a HTTP/1.1\r\nHost: b\r\n\r\nand what follows".to_vec();
    let mut head = RequestHead::default();
    let length = RequestParser::new(Limits::default()).parse(&text, &mut head).unwrap().unwrap().consumed;
    let kept = text[..length].to_vec();
    drop(text);
    assert_eq!(head.view(&kept).get(Known::Host), Some(&b"b"[..]));
}

#[test]
fn a_head_is_reused_without_a_trace_of_the_one_before() {
    let (mut reused, mut parser) = (RequestHead::default(), RequestParser::new(Limits::default()));
    let first = b"GET http://a/b HTTP/1.0\r\nConnection: x\r\nX: y\r\n\r\n";
    let second = b"GET /c HTTP/1.1\r\nHost: d\r\n\r\n";
    parser.parse(first, &mut reused).unwrap().unwrap();
    let memory = reused.fields.as_ptr();
    let facts = parser.parse(second, &mut reused).unwrap().unwrap();
    let mut fresh = RequestHead::default();
    assert_eq!(RequestParser::new(Limits::default()).parse(second, &mut fresh).unwrap().unwrap(), facts);
    assert_eq!(reused, fresh);
    assert_eq!(reused.fields.as_ptr(), memory);
}
