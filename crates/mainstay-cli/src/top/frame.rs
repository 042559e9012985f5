//! One frame: the services, and the endpoints of the one that is chosen.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row, Table};
use serde_json::Value;

use super::figures::{Figures, Service};
use crate::admin::why;

/// What is looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    /// The service, by its place.
    pub(super) chosen: usize,
    /// The endpoints of every service and not of the chosen one alone.
    pub(super) endpoints_of_all: bool,
    /// The last requests that went badly, in the place of the endpoints; `None` to show these.
    pub(super) unhappy: Option<Vec<Value>>,
    /// Why what is shown is old.
    pub(super) trouble: Option<String>,
}

/// The services whose endpoints are shown.
fn with_endpoints<'f>(figures: &'f Figures, shown: &Shown) -> Vec<&'f Service> {
    let chosen = |place: usize| shown.endpoints_of_all || place == shown.chosen;
    figures.services.iter().enumerate().filter(|(place, _)| chosen(*place)).map(|(_, service)| service).collect()
}

fn endpoints(service: &Service) -> &[Value] {
    service.view["endpoints"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Rows that a whole frame has.
pub(super) fn height(figures: &Figures, shown: &Shown) -> u16 {
    let endpoints: usize = with_endpoints(figures, shown).iter().map(|service| endpoints(service).len()).sum();
    u16::try_from(figures.services.len() + endpoints + 5).unwrap_or(u16::MAX)
}

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, figures: &Figures, shown: &Shown) {
    let services = figures.services.len() as u16 + 2;
    let rows = [Constraint::Length(1), Constraint::Max(services), Constraint::Min(0)];
    let [head, above, below] = Layout::vertical(rows).areas(frame.area());
    let text = match &shown.trouble {
        Some(trouble) => Line::styled(format!("what is shown is old: {trouble}"), Style::new().fg(Color::Red)),
        None => Line::raw(
            "attempts of the last second; arrows choose, enter shows all endpoints, e unhappy requests, q leaves",
        ),
    };
    frame.render_widget(Paragraph::new(text), head);
    draw_services(frame, above, figures, shown);
    match &shown.unhappy {
        Some(records) => draw_unhappy(frame, below, records),
        None => draw_endpoints(frame, below, &with_endpoints(figures, shown)),
    }
}

fn draw_services(frame: &mut Frame<'_>, area: Rect, figures: &Figures, shown: &Shown) {
    let head = Row::new([
        "SERVICE",
        "RATE",
        "GOOD",
        "P50 MS",
        "P99 MS",
        "READY",
        "BUSY",
        "WAIT",
        "LIMIT",
        "BUDGET",
        "BREAKER",
        "REFUSED, WHY",
    ]);
    let widths = [12, 7, 7, 7, 7, 6, 5, 5, 9, 6, 9].map(Constraint::Length).into_iter().chain([Constraint::Min(20)]);
    let rows = figures.services.iter().enumerate().map(|(place, service)| {
        let row = service_row(service);
        let is_chosen = place == shown.chosen && !shown.endpoints_of_all;
        if is_chosen { row.style(Style::new().add_modifier(Modifier::REVERSED)) } else { row }
    });
    frame.render_widget(Table::new(rows, widths).header(head), area);
}

fn service_row(service: &Service) -> Row<'_> {
    let view = &service.view;
    let refused = service.refused.iter().map(|(reason, rate)| format!("{rate:.0}/s {reason}"));
    let notes: Vec<String> = refused.chain(Some(why(view)).filter(|why| !why.is_empty())).collect();
    let good = service.good.map_or("-".to_owned(), |good| format!("{:.1}%", good * 100.0));
    let colour = if service.good.is_some_and(|good| good < 0.99) { Color::Red } else { Color::Reset };
    Row::new([
        Cell::from(service.name.as_str()),
        Cell::from(format!("{:.0}/s", service.rate)),
        Cell::from(good).style(Style::new().fg(colour)),
        Cell::from(millis(service.p50_ms)),
        Cell::from(millis(service.p99_ms)),
        Cell::from(format!("{}/{}", plain(&view["ready"]), endpoints(service).len())),
        Cell::from(plain(&view["in_use"])),
        Cell::from(plain(&view["waiting"])),
        Cell::from(plain(&view["concurrency_limit"])),
        Cell::from(view["retry_budget_tokens"].as_f64().map_or("-".to_owned(), |tokens| format!("{tokens:.0}"))),
        Cell::from(plain(&view["breaker"]["state"])),
        Cell::from(notes.join("; ")),
    ])
}

fn draw_endpoints(frame: &mut Frame<'_>, area: Rect, services: &[&Service]) {
    let head = Row::new(["SERVICE", "ENDPOINT", "STATE", "BUSY", "LATENCY", "GOOD", "FAILED", "WHY"]);
    let widths = [12, 22, 9, 5, 8, 9, 9].map(Constraint::Length).into_iter().chain([Constraint::Min(20)]);
    let rows = services.iter().flat_map(|service| endpoints(service).iter().map(|one| endpoint_row(service, one)));
    frame.render_widget(Table::new(rows, widths).header(head), area);
}

/// The state's word tells everything; its colour only helps the eye.
fn endpoint_row<'a>(service: &'a Service, endpoint: &'a Value) -> Row<'a> {
    let colour = match endpoint["state"].as_str() {
        Some("ready") => Color::Green,
        Some("ejected") => Color::Red,
        _ => Color::Yellow,
    };
    Row::new([
        Cell::from(service.name.as_str()),
        Cell::from(plain(&endpoint["address"])),
        Cell::from(plain(&endpoint["state"])).style(Style::new().fg(colour)),
        Cell::from(plain(&endpoint["in_flight"])),
        Cell::from(millis(endpoint["latency_ms"].as_f64())),
        Cell::from(plain(&endpoint["successes"])),
        Cell::from(plain(&endpoint["failures"])),
        Cell::from(endpoint["why"].as_str().unwrap_or("")),
    ])
}

fn draw_unhappy(frame: &mut Frame<'_>, area: Rect, records: &[Value]) {
    let head = Row::new(["AGO", "SERVICE", "REQUEST", "WHAT BECAME OF IT", "X-REQUEST-ID"]);
    let widths = [
        Constraint::Length(7),
        Constraint::Length(12),
        Constraint::Length(24),
        Constraint::Min(20),
        Constraint::Length(32),
    ];
    frame.render_widget(Table::new(records.iter().map(unhappy_row), widths).header(head), area);
}

fn unhappy_row(record: &Value) -> Row<'_> {
    let seconds = record["age_ms"].as_f64().unwrap_or_default() / 1000.0;
    let decisions = record["decisions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let end = decisions.iter().rev().find(|decision| decision["event"] == "ended");
    let end = end.and_then(|end| end["text"].as_str()).unwrap_or_default();
    Row::new([
        Cell::from(format!("{seconds:.1}s")),
        Cell::from(plain(&record["service"])),
        Cell::from(format!("{} {}", plain(&record["method"]), printable(&plain(&record["path"])))),
        Cell::from(end.trim_start_matches("ended without an answer: ").trim_start_matches("ended: ")),
        Cell::from(printable(&plain(&record["request_id"]))),
    ])
}

/// A text of the caller's without what would move the cursor.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

fn millis(length: Option<f64>) -> String {
    length.map_or("-".to_owned(), |length| format!("{length:.1}"))
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::top::figures::tests::second;
    use crate::top::text;

    fn check(shown: &Shown, want: &Expect) {
        let (before, now) = second();
        let figures = Figures::between(&before, &now);
        let drawn = text(&figures, shown, 130, height(&figures, shown)).unwrap();
        want.assert_eq(&drawn);
    }

    #[tokio::test]
    async fn a_frame_tells_how_callers_fare_and_why() {
        check(
            &Shown::default(),
            &expect![[r#"
                attempts of the last second; arrows choose, enter shows all endpoints, e unhappy requests, q leaves
                SERVICE      RATE    GOOD    P50 MS  P99 MS  READY  BUSY  WAIT  LIMIT     BUDGET BREAKER   REFUSED, WHY
                shop         100/s   96.0%   10.0    98.2    1/2    4     1     64        97     closed    3/s queue_full

                SERVICE      ENDPOINT               STATE     BUSY  LATENCY  GOOD      FAILED    WHY
                shop         a:1                    ready     2     10.5     90        4
                shop         b:1                    ejected   2     10.5     90        4         its checks fail: refused

            "#]],
        );
    }

    #[tokio::test]
    async fn the_last_requests_that_went_badly_are_shown_in_the_place_of_the_endpoints() {
        let record = serde_json::json!({
            "request_id": "30ad403d\u{1b}", "service": "shop", "method": "GET", "path": "/cart", "age_ms": 1234.5,
            "decisions": [
                { "event": "attempt", "text": "attempt 1 to a:1" },
                { "event": "ended", "text": "ended without an answer: the breaker is open; status 503" },
            ],
        });
        let shown = Shown { unhappy: Some(vec![record]), ..Shown::default() };
        let (before, now) = second();
        let drawn = text(&Figures::between(&before, &now), &shown, 130, 6).unwrap();
        let below: String = drawn.lines().skip(3).map(|line| line.trim_end().to_owned() + "\n").collect();
        expect![[r#"

            AGO     SERVICE      REQUEST                  WHAT BECAME OF IT                                   X-REQUEST-ID
            1.2s    shop         GET /cart                the breaker is open; status 503                     30ad403d�
        "#]].assert_eq(&below);
    }

    #[tokio::test]
    async fn a_node_that_does_not_answer_is_shown_as_it_was_and_said_to_be_old() {
        let (before, now) = second();
        let shown = Shown { trouble: Some("no node answers at 127.0.0.1:9900".to_owned()), ..Shown::default() };
        let drawn = text(&Figures::between(&before, &now), &shown, 130, 9).unwrap();
        assert!(drawn.starts_with("what is shown is old: no node answers at 127.0.0.1:9900\n"), "{drawn}");
        assert!(drawn.contains("its checks fail: refused"), "{drawn}");
    }
}
